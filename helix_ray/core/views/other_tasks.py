"""What the view of a task says of other tasks, without the ids of those that its reader may not see."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar, cast

from helix_ray.core.specs import TaskError
from helix_ray.core.views.tasks import ResultView, TaskView

ANOTHER_TASK = "another task"
"""Stands in place of the id of a task that the reader may not see."""

_LISTS = ("waits_for", "blocked_on", "depends_on")
_View = TypeVar("_View", bound=TaskView | ResultView)


def ids_in(view: TaskView | ResultView) -> Iterator[str]:
    """Yield the ids of the tasks that a view names beside its own."""
    fields = cast("dict[str, list[str]]", view)
    for name in _LISTS:
        yield from fields.get(name) or ()
    error = view["error"]
    while isinstance(error, dict):
        if isinstance(error.get("dependency"), str):
            yield error["dependency"]
        error = error.get("cause")


def without_unseen(view: _View, visible: Callable[[str], bool]) -> _View:
    """Return a view in which tasks that are not visible have no id."""
    unseen = {task_id for task_id in ids_in(view) if not visible(task_id)}
    if not unseen:
        return view
    fields = cast("dict[str, list[str]]", view)
    lists = {name: _named(fields[name], unseen) for name in _LISTS if fields.get(name)}
    return cast("_View", {**view, **lists, "error": error_without(view["error"], unseen.__contains__)})


def error_without(error: TaskError | None, unseen: Callable[[str], bool]) -> TaskError | None:
    """Return an error that does not name a dependency that is `unseen`, nor does its cause."""
    if error is None:
        return None
    shown, dependency, cause = error, error.get("dependency"), error.get("cause")
    if isinstance(dependency, str) and unseen(dependency):
        message = (error.get("message") or "").replace(dependency, ANOTHER_TASK)
        shown = {**error, "dependency": ANOTHER_TASK, "message": message}
    if isinstance(cause, dict):
        shown = {**shown, "cause": error_without(cause, unseen) or cause}
    return shown


def _named(task_ids: Iterable[str], unseen: set[str]) -> list[str]:
    names = (ANOTHER_TASK if task_id in unseen else task_id for task_id in task_ids)
    return sorted(names, key=lambda name: name == ANOTHER_TASK)
