"""Returns orders that are due: delayed tasks, deadlines, timeouts, and the removal
of workers lost long ago.

The ends of delays and timeouts are moved where the wall clock is set back, also between two starts; deadlines
are times of the day.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterator, Mapping

from helix_ray.core.clock_watch import ClockWatch, step_back_s
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


class _Moved:
    """Times of tasks that were noted before the clock was set back, and by how much it was since."""

    def __init__(self) -> None:
        self._noted: dict[str, tuple[float, float]] = {}
        # When those that are in the future are due by the clock as it is.
        self.due_at: dict[str, float] = {}

    def move(self, table: Mapping[str, float], back_s: float, latest: float = math.inf) -> None:
        """Move the times of a table, so that none is later than `latest`."""
        self._noted = {
            task_id: (at, max(back_s + self.back_s(task_id, at), at - latest))
            for task_id, at in table.items()
        }
        self.due_at = {task_id: at - moved_s for task_id, (at, moved_s) in self._noted.items()}

    def back_s(self, task_id: str, at: float | None) -> float:
        """Return by how much the clock was set back since a time was noted."""
        known = self._noted.get(task_id)
        return 0.0 if known is None or known[0] != at else known[1]

    def taken(self, task_ids: tuple[str, ...], table: Mapping[str, float]) -> dict[float, tuple[str, ...]]:
        """Return tasks by how much the clock was set back since their times were noted; forget those whose
        times are others."""
        found: defaultdict[float, tuple[str, ...]] = defaultdict(tuple)
        for task_id in task_ids:
            if back_s := self.back_s(task_id, table.get(task_id)):
                found[back_s] += (task_id,)
            else:
                self._noted.pop(task_id, None)
                self.due_at.pop(task_id, None)
        return found


class Timekeeper:
    """Checks the times of tasks ten times a second."""

    busy = False

    def __init__(self, policy: Policy, known_at: float = 0.0) -> None:
        """`known_at` is the time of the newest fact at the start."""
        self._next = self._workers_next = 0.0
        self._keep_s, self._delay_s_max = policy.lost_worker_keep_s, policy.retry_backoff_s_max
        self._known_at = known_at
        self._delays, self._deadlines, self._moved_delays = _Clock(), _Clock(), _Clock()
        self._watch: ClockWatch | None = None
        self._delayed, self._started = _Moved(), _Moved()

    def react(self, news: News) -> list[OrderBody]:
        """Return the orders that are due."""
        if news.mono < self._next:
            return []
        self._next = news.mono + CHECK_EVERY_S
        orders: list[OrderBody] = self._moved(news)
        due = self._delays.due(news.state.delayed, news.now)
        if due:
            orders.append(ReleaseTasks(due))
        late = self._deadlines.due(news.state.deadlines, news.now)
        if late:
            orders.append(ExpireTasks(late, "deadline"))
        overdue = self._external_timeouts(news.state, news.now)
        orders += [ExpireTasks(ids[:DUE_TASKS_MAX], "timeout", back_s) for back_s, ids in overdue.items()]
        if max(map(len, (due, late, *overdue.values()))) >= DUE_TASKS_MAX:
            # There is more: continue as soon as these are processed.
            self._next = news.mono
        if news.mono >= self._workers_next:
            self._workers_next = news.mono + WORKERS_EVERY_S
            gone = tuple(w.id for w in news.state.workers.values() if lost_for_s(w, news.now) > self._keep_s)
            if gone:
                orders.append(RemoveLostWorkers(gone))
        return orders

    def _moved(self, news: News) -> list[OrderBody]:
        """Return the orders for delays that are over although the clock was set back."""
        if self._watch is None:
            self._begin(news)
        assert self._watch is not None
        if back_s := self._watch.back_s(news.now, news.mono):
            self._watch.note(back_s)
            self._delayed.move(news.state.delayed, back_s)
            self._started.move(_external_starts(news.state), back_s)
        over = self._moved_delays.due(self._delayed.due_at, news.now)
        found = self._delayed.taken(over, news.state.delayed)
        return [ReleaseTasks(task_ids, back_s) for back_s, task_ids in found.items()]

    def _begin(self, news: News) -> None:
        """Move what is later than it can be: the clock was set back between two starts, or in an earlier
        run."""
        self._watch = ClockWatch(news.now, news.mono)
        back_s = step_back_s(self._known_at, news.now)
        self._delayed.move(news.state.delayed, back_s, news.now + self._delay_s_max)
        self._started.move(_external_starts(news.state), back_s, news.now)

    def _external_timeouts(self, state: State, now: float) -> dict[float, tuple[str, ...]]:
        """Return attempts of external workers that exceeded their timeout, by how much the clock was set back
        since they began; nodes enforce timeouts themselves."""
        overdue: defaultdict[float, tuple[str, ...]] = defaultdict(tuple)
        for task_id, started_at in _external_starts(state).items():
            timeout_s = state.tasks[task_id].spec.get("timeout_s")
            back_s = self._started.back_s(task_id, started_at)
            if timeout_s is not None and now + back_s - started_at > timeout_s:
                overdue[back_s] += (task_id,)
        return overdue


def _external_starts(state: State) -> dict[str, float]:
    """Return when the attempts of external workers that have a timeout began."""
    return {
        task_id: task.started_at
        for worker in state.workers.values()
        if worker.kind == "external"
        for task_id in worker.running
        if (task := state.tasks[task_id]).status is Status.RUNNING
        and task.started_at is not None
        and task.spec.get("timeout_s") is not None
    }
