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
class TaskBlocked:
    """An attempt waits in its code for other tasks, and has given its CPUs back meanwhile.

    `on` are those that have not ended (at most BLOCKED_ON_TASKS_MAX). `until`: it goes on when `all` of them
    have ended, or `any`; or when it says so (`unblocked`), because it waits for more than that.
    """

    id: str
    attempt: int
    on: list[str]
    until: str


@dataclass(slots=True)
class TaskUnblocked:
    """A blocked attempt goes on, and holds its CPUs again."""

    id: str
    attempt: int


@dataclass(slots=True)
class TaskPrioritised:
    """A task is queued with a priority that it inherits from `by`, a task that waits for it; None: with its
    own again."""

    id: str
    priority: str | None
    by: str | None = None


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
