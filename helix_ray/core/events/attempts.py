"""Facts about attempts of tasks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from helix_ray.core.specs import TaskError


@dataclass(slots=True)
class TaskAssigned:
    """A worker (or, without one, a user) has got attempt number `attempt`."""

    id: str
    attempt: int
    worker: str | None


@dataclass(slots=True)
class TaskProgressed:
    """An attempt is `progress` percent done."""

    id: str
    attempt: int
    progress: float
    note: str | None = None


@dataclass(slots=True)
class TaskOutlasted:
    """An attempt still runs after `ran_s` seconds, and others waited behind it: its kind
    takes longer than estimated."""

    id: str
    attempt: int
    ran_s: float


@dataclass(slots=True)
class TaskRequeued:
    """A task waits for a worker again. `cause`: retry, lost, returned, preempted or manual; `not_before`
    in epoch seconds. `leases` (core/leases.py) are included for a manual retry: followers have no
    records of finished tasks."""

    id: str
    attempt: int
    cause: str
    error: TaskError | None = None
    not_before: float = 0.0
    leases: list[list[Any]] | None = None
