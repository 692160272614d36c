"""The rules of a plan beside what fits: ageing, fair shares, quotas, preemption, reservations."""

from __future__ import annotations

from collections.abc import Callable, Container, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from helix_ray.core.placement.reservation import EndingsOf
from helix_ray.core.state import Quota, TaskClass
from helix_ray.core.strategy_names import DEFAULT
from helix_ray.core.waits import Reservation

# The one quota limit that is not a resource: slots, that is, tasks that run at the same time.
TASKS = "tasks"


class RunningAttempt(NamedTuple):
    """A running attempt as a candidate for preemption."""

    task_id: str
    attempt: int
    level: int
    started_at: float
    task_class: TaskClass


RunningBy = Callable[[str], Sequence[RunningAttempt]]


def _nothing(node_id: str) -> Sequence[Any]:
    return ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """Tasks of `preempt_level` or above may preempt lower ones (None: no preemption); `running`
    gives a node's preemptible attempts.

    `reservations` are those of the last plan. A task that has waited for `reserve_after_s` (None: no
    reservations) may get one if `may_search`, unless its class is `unreservable`: a search for it failed
    recently. `endings` gives when the tasks of a node are expected to end.
    """

    aging_s: float = 600.0
    strategy: str = DEFAULT
    quotas: Mapping[str, Quota] = field(default_factory=dict)
    preempt_level: int | None = None
    running: RunningBy = _nothing
    reservations: tuple[Reservation, ...] = ()
    reserve_after_s: float | None = None
    may_search: bool = True
    unreservable: Container[TaskClass] = ()
    endings: EndingsOf = _nothing


class Shares:
    """The usage of each project, compared with its quota and its fair share (dominant resource fairness)."""

    def __init__(
        self, slots: Mapping[TaskClass, int], totals: Mapping[str, float], quotas: Mapping[str, Quota]
    ):
        self._totals = totals
        self._quotas = quotas
        self._used: dict[str, dict[str, float]] = {}
        self._dominant: dict[str, float] = {}
        for task_class, count in slots.items():
            self.add(task_class, count)

    def add(self, task_class: TaskClass, slots: int) -> None:
        """Count slots of a class as used by its project."""
        used = self._used.setdefault(task_class.project, {})
        if not task_class.blocked:
            # What a blocked task waits for must fit into a quota that is used up by it.
            used[TASKS] = used.get(TASKS, 0.0) + slots
        for name, amount in task_class.demand:
            used[name] = used.get(name, 0.0) + amount * slots
        self._dominant.pop(task_class.project, None)

    def used(self, project: str) -> dict[str, float]:
        """Return the usage of a project, by resource name and `tasks`."""
        return {name: amount for name, amount in self._used.get(project, {}).items() if amount > 0}

    def dominant(self, project: str) -> float:
        """Return the dominant share of a project: its largest share of any
        resource, divided by its weight."""
        share = self._dominant.get(project)
        if share is None:
            share = self._dominant[project] = self._find_dominant(project)
        return share

    def _find_dominant(self, project: str) -> float:
        quota = self._quotas.get(project)
        most = 0.0
        for name, amount in self._used.get(project, {}).items():
            total = self._totals.get(name, 0.0)
            if total > 0 and amount > most * total:
                most = amount / total
        return most / (quota.weight if quota is not None else 1.0)

    def slots_allowed(self, task_class: TaskClass) -> int | None:
        """Return how many more slots of a class the project's quota allows; None if it has no limit."""
        quota = self._quotas.get(task_class.project)
        if quota is None or not quota.limits:
            return None
        used = self._used.get(task_class.project, {})
        asked = {**dict(task_class.demand), TASKS: 1.0}
        rooms = [
            int((limit - used.get(name, 0.0) + 1e-9) / asked[name])
            for name, limit in quota.limits.items()
            if asked.get(name)
        ]
        return max(0, min(rooms)) if rooms else None

    def exceeded(self, task_class: TaskClass) -> dict[str, float]:
        """Return by how much one more slot of a class would exceed each limit of its project's quota."""
        quota = self._quotas.get(task_class.project)
        if quota is None:
            return {}
        used = self._used.get(task_class.project, {})
        asked = {**dict(task_class.demand), TASKS: 1.0}
        over = {
            name: used.get(name, 0.0) + asked[name] - limit
            for name, limit in quota.limits.items()
            if asked.get(name)
        }
        return {name: amount for name, amount in over.items() if amount > 1e-9}
