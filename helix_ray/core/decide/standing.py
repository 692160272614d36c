"""Where a task stands after a decision that is not folded yet: what the receipt tells, and tells again."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from helix_ray.core.events import (
    Event,
    TaskAssigned,
    TaskCompleted,
    TaskProgressed,
    TaskRequeued,
    TaskRestored,
    subject_of,
)
from helix_ray.core.lifecycle import move
from helix_ray.core.state import Task


def standing(task: Task, events: Sequence[Event], now: float) -> dict[str, Any]:
    """Return id, status, progress and updated_at as evolve will have them after the facts."""
    status, progress, updated_at = task.status, task.progress, task.updated_at
    for event in events:
        if subject_of(event) != task.id or isinstance(event, TaskRestored):
            continue
        status, updated_at = move(status, type(event).__name__), now
        if isinstance(event, TaskProgressed):
            progress = event.progress
        elif isinstance(event, TaskCompleted):
            progress = 100.0
        elif isinstance(event, (TaskAssigned, TaskRequeued)):
            progress = 0.0
    return {"id": task.id, "status": status.value, "progress": progress, "updated_at": updated_at}
