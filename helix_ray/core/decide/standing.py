"""The status of a task after a decision that is not folded yet, for the receipt."""

from __future__ import annotations

from collections.abc import Sequence

from helix_ray.core.events import Event, Fact, TaskRestored, subject_of
from helix_ray.core.execution import Execution, fold
from helix_ray.core.lifecycle import move
from helix_ray.core.orders.tasks import StandingData
from helix_ray.core.state import Task


def standing(task: Task, events: Sequence[Event], now: float) -> StandingData:
    """Return id, status, progress and updated_at as they will be after the facts are folded."""
    then = Execution(status=task.status, progress=task.progress, updated_at=task.updated_at)
    for event in events:
        if subject_of(event) != task.id or isinstance(event, TaskRestored):
            continue
        move(then.status, type(event).__name__)
        fold(then, Fact(0, now, "", "", event))
    return {
        "id": task.id,
        "status": then.status.value,
        "progress": then.progress,
        "updated_at": then.updated_at,
    }
