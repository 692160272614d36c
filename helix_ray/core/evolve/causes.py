"""Which task a failed one failed because of, and the index from that task to all of them."""

from __future__ import annotations

from helix_ray.core.lifecycle import Status
from helix_ray.core.state import State, Task


def cause_of(task: Task) -> str | None:
    """Return the dependency that a task failed because of; None for every other end."""
    if task.status is not Status.FAILED or task.error is None:
        return None
    cause = task.error.get("dependency")
    return cause if cause in (task.spec.get("depends_on") or ()) else None


def index_failed(state: State, task: Task) -> None:
    """Note a failed task beside the task that it failed because of."""
    cause = cause_of(task)
    if cause is not None:
        state.failed_by.setdefault(cause, {})[task.id] = None


def unindex_failed(state: State, task: Task) -> None:
    """Take back what index_failed noted: the task is queued again, or leaves."""
    cause = cause_of(task)
    if cause is None:
        return
    others = state.failed_by[cause]
    del others[task.id]
    if not others:
        del state.failed_by[cause]
