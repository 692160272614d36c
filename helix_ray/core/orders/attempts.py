"""Orders about attempts: start them, and report on them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from helix_ray.core.access import SYSTEM_ONLY
from helix_ray.core.orders.kind import OrderKind


@dataclass(frozen=True, slots=True)
class StartAttempts(OrderKind):
    """Lease attempts to workers: (task id, worker id) pairs. Pairs that no longer hold are left out.

    `preempt` are attempts, (task id, attempt), that stop so that there is room for them.
    """

    allowed = SYSTEM_ONLY
    needs_key = False  # what is done is left out

    pairs: tuple[tuple[str, str], ...]
    preempt: tuple[tuple[str, int], ...] = ()


@dataclass(frozen=True, slots=True)
class AttemptReport:
    """What a node worker says of one attempt.

    `outcome`: completed, failed, progressed, outlasted (it still runs, after `duration_s`, and others wait
    behind it that were not meant to), returned (handed back unstarted) or lost (its executor died).
    `retryable` is False where another try cannot help (a refused function name, a bad spec).
    """

    task_id: str
    attempt: int
    outcome: str
    result: Any = None
    error: dict[str, Any] | None = None
    progress: float | None = None
    note: str | None = None
    duration_s: float | None = None
    retryable: bool = True


@dataclass(frozen=True, slots=True)
class ReportAttempts(OrderKind):
    """A node worker's reports, in order; each is answered by itself."""

    allowed = SYSTEM_ONLY
    needs_key = False  # by attempt and boot

    worker_id: str
    boot: str
    reports: tuple[AttemptReport, ...]
