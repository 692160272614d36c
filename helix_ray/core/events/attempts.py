"""Facts about attempts of tasks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(slots=True)
class TaskAssigned:
    """A worker (or, without one, a person) holds attempt number `attempt`."""

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
    """An attempt still runs after `ran_s` seconds, and others waited behind it: its kind takes longer than was known."""

    id: str
    attempt: int
    ran_s: float


@dataclass(slots=True)
class TaskRequeued:
    """A task waits for a worker again. `cause`: retry, lost, returned, preempted or manual; `not_before` in epoch
    seconds. `leases` (core/leases.py) are on record where a person asked for it: followers know of no task that has ended."""

    id: str
    attempt: int
    cause: str
    error: dict[str, Any] | None = None
    not_before: float = 0.0
    leases: list[list[Any]] | None = None
