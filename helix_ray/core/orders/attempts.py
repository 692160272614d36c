"""Orders about attempts: start them, and report on them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, TypedDict

from helix_ray.core.access import SYSTEM_ONLY
from helix_ray.core.orders.kind import OrderKind
from helix_ray.core.specs import TaskError
from helix_ray.core.weight import LINKS_PER_TASK, weight_of_outcome


class StartedData(TypedDict):
    """How many pairs were left out."""

    stale: int


class ReportedData(TypedDict):
    """The indexes of the reports that came too late, and how many reports were processed."""

    stale: list[int]
    taken: int


@dataclass(frozen=True, slots=True)
class StartAttempts(OrderKind[StartedData]):
    """Lease attempts to workers: (task id, worker id) pairs. Pairs that are not valid any more are left out.

    `preempt` are attempts, (task id, attempt), to preempt for them.
    """

    allowed = SYSTEM_ONLY
    needs_key = False  # repeated pairs are left out

    pairs: tuple[tuple[str, str], ...]
    preempt: tuple[tuple[str, int], ...] = ()

    def work(self) -> int:
        """Return the number of attempts."""
        return len(self.pairs)


@dataclass(slots=True)
class AttemptReport:
    """A node worker's report about one attempt. It is built twice for each attempt, and so not frozen
    (execution/assignment.py); no code changes one that was made.

    `outcome`: completed, failed, progressed, outlasted (it still runs after `duration_s`, and others wait
    behind it), returned (unstarted), lost (its executor died), blocked (it waits for the tasks `on` and holds
    no CPUs, `until` as in TaskBlocked) or unblocked (it goes on). `retryable` is False where a retry cannot
    help (a refused function name, an invalid spec).
    """

    task_id: str
    attempt: int
    outcome: str
    result: Any = None
    error: TaskError | None = None
    progress: float | None = None
    note: str | None = None
    duration_s: float | None = None
    retryable: bool = True
    on: tuple[str, ...] = ()
    until: str = ""

    def work(self) -> int:
        """Return how much work it is, in tasks: a long result counts as several."""
        return weight_of_outcome(self.result, self.error) + len(self.on) // LINKS_PER_TASK


@dataclass(frozen=True, slots=True)
class ReportAttempts(OrderKind[ReportedData]):
    """A node worker's reports, in order; each is answered separately."""

    allowed = SYSTEM_ONLY
    needs_key = False  # recognised by attempt and boot

    worker_id: str
    boot: str
    reports: tuple[AttemptReport, ...]

    def work(self) -> int:
        """Return the weight of its reports."""
        return sum(report.work() for report in self.reports)
