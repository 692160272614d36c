"""The index from a task to the tasks that failed because of it."""

from __future__ import annotations

from helix_ray.core.lifecycle import Status
from helix_ray.core.state import State, Task


def cause_of(task: Task) -> str | None:
    """Return the dependency because of which a task failed; None for any other ending."""
    if task.status is not Status.FAILED or task.error is None:
        return None
    cause = task.error.get("dependency")
    return cause if cause in (task.spec.get("depends_on") or ()) else None


def index_failed(state: State, task: Task) -> None:
    """Add a failed task to the index."""
    cause = cause_of(task)
    if cause is not None:
        state.failed_by.setdefault(cause, {})[task.id] = None


def unindex_failed(state: State, task: Task) -> None:
    """Remove a task from the index: it is queued again, or leaves memory."""
    cause = cause_of(task)
    if cause is None:
        return
    others = state.failed_by[cause]
    del others[task.id]
    if not others:
        del state.failed_by[cause]
