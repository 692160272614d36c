"""Answers the questions of the SyncDevices actors."""

from __future__ import annotations

from collections.abc import Generator, Iterable
from itertools import islice
from typing import TypeGuard

from helix_ray.core import questions as q
from helix_ray.core.access import Principal
from helix_ray.core.answers.picture import Answerers, Picture, Steppers, whole
from helix_ray.core.follows import Scope, TaskSubject, labels_of
from helix_ray.core.state import State, Task, project_of
from helix_ray.core.views.sync import BoardView, RowsView, TaskRow, task_row

# A scope is filled from all tasks, this many in each step: a few milliseconds.
SCAN_TASKS_PER_STEP = 5_000


def _device_board(picture: Picture, question: q.DeviceBoard, by: Principal) -> BoardView:
    return {"devices": [], "total": 0, "seq": picture.state.seq}


def _followed_rows(picture: Picture, question: q.FollowedRows, by: Principal) -> RowsView:
    """Return what there is of it."""
    tasks = picture.state.tasks
    found = [task_row(tasks[task_id]) for task_id in question.task_ids if _is_kept(tasks.get(task_id))]
    return {"tasks": found, "documents": [], "seq": picture.state.seq}


def _scope_rows(picture: Picture, question: q.ScopeRows, by: Principal) -> RowsView:
    return whole(scope_rows(picture, question, by))


def scope_rows(picture: Picture, question: q.ScopeRows, by: Principal) -> Generator[None, None, RowsView]:
    """Find what is in a scope, in steps: the state may change between two steps, and each task is as of its
    step. `seq` is that of the first."""
    state = picture.state
    seq, ids = state.seq, iter(list(state.tasks))
    found: list[TaskRow] = []
    while some := list(islice(ids, SCAN_TASKS_PER_STEP)):
        found += [task_row(task) for task in _in_scope(state, some, question.scope)]
        yield
    return {"tasks": found, "documents": [], "seq": seq}


def _in_scope(state: State, ids: Iterable[str], scope: Scope) -> Iterable[Task]:
    for task_id in ids:
        task = state.tasks.get(task_id)
        if _is_kept(task) and scope.has_task(_subject(task)):
            yield task


def _is_kept(task: Task | None) -> TypeGuard[Task]:
    """Say whether devices keep a task: a shard is a part of one."""
    return task is not None and "shard" not in task.spec


def _subject(task: Task) -> TaskSubject:
    return TaskSubject(task.owner, task.holder, project_of(task), labels_of(task.spec.get("labels")))


SYNC_ANSWERS: Answerers = {
    q.DeviceBoard: _device_board,
    q.FollowedRows: _followed_rows,
    q.ScopeRows: _scope_rows,
}
SYNC_STEPS: Steppers = {q.ScopeRows: scope_rows}
