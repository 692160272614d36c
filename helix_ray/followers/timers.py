"""Returns orders that are due: delayed tasks, deadlines, timeouts, and the removal
of workers lost long ago."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping

from helix_ray.core.decide.workers import lost_for_s
from helix_ray.core.lifecycle import Status
from helix_ray.core.orders import ExpireTasks, OrderBody, ReleaseTasks, RemoveLostWorkers
from helix_ray.core.policy import Policy
from helix_ray.core.state import State
from helix_ray.followers.base import News

CHECK_EVERY_S = 0.1
WORKERS_EVERY_S = 60.0
# Tasks of one order, and entries of a table examined in one call: a few milliseconds of work.
DUE_TASKS_MAX = 500
LOOKED_AT_MAX = 50_000
_END = ("", math.inf)


class _Clock:
    """Searches a table of times for due ids, in several calls if the table is long."""

    def __init__(self) -> None:
        self._rest: Iterator[tuple[str, float]] | None = None

    def due(self, table: Mapping[str, float], now: float) -> tuple[str, ...]:
        """Return due ids, at most DUE_TASKS_MAX; some of them may have left the table."""
        if self._rest is None:
            self._rest = iter(list(table.items()))
        due: list[str] = []
        for _ in range(LOOKED_AT_MAX):
            task_id, at = next(self._rest, _END)
            if at <= now:
                due.append(task_id)
                if len(due) >= DUE_TASKS_MAX:
                    break
            elif task_id is _END[0]:
                self._rest = None
                break
        return tuple(due)


class Timekeeper:
    """Checks the times of tasks ten times a second."""

    busy = False

    def __init__(self, policy: Policy) -> None:
        self._next = self._workers_next = 0.0
        self._keep_s = policy.lost_worker_keep_s
        self._delays, self._deadlines = _Clock(), _Clock()

    def react(self, news: News) -> list[OrderBody]:
        """Return the orders that are due."""
        if news.mono < self._next:
            return []
        self._next = news.mono + CHECK_EVERY_S
        orders: list[OrderBody] = []
        due = self._delays.due(news.state.delayed, news.now)
        if due:
            orders.append(ReleaseTasks(due))
        late = self._deadlines.due(news.state.deadlines, news.now)
        if late:
            orders.append(ExpireTasks(late, "deadline"))
        overdue = _external_timeouts(news.state, news.now)[:DUE_TASKS_MAX]
        if overdue:
            orders.append(ExpireTasks(overdue, "timeout"))
        if max(map(len, (due, late, overdue))) >= DUE_TASKS_MAX:
            # There is more: continue as soon as these are processed.
            self._next = news.mono
        if news.mono >= self._workers_next:
            self._workers_next = news.mono + WORKERS_EVERY_S
            gone = tuple(w.id for w in news.state.workers.values() if lost_for_s(w, news.now) > self._keep_s)
            if gone:
                orders.append(RemoveLostWorkers(gone))
        return orders


def _external_timeouts(state: State, now: float) -> tuple[str, ...]:
    """Return attempts of external workers that exceeded their timeout; nodes enforce timeouts themselves."""
    overdue = []
    for worker in state.workers.values():
        if worker.kind == "external":
            for task_id in worker.running:
                task = state.tasks[task_id]
                timeout = task.spec.get("timeout_s")
                if (
                    timeout is not None
                    and task.status is Status.RUNNING
                    and now - (task.started_at or now) > timeout
                ):
                    overdue.append(task_id)
    return tuple(overdue)
