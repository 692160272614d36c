"""Decides about attempts that wait for other tasks in their code: whether they hold their CPUs meanwhile."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence, Set
from itertools import islice

from helix_ray.core.blocked_on import BLOCKED_ON_TASKS_MAX
from helix_ray.core.blocking import waited_for
from helix_ray.core.decide.endings import Endings
from helix_ray.core.decide.outcome import Context
from helix_ray.core.events import Event, TaskBlocked, TaskUnblocked
from helix_ray.core.families import parent_of
from helix_ray.core.orders import AttemptReport
from helix_ray.core.specs import TaskError
from helix_ray.core.state import Task, Worker
from helix_ray.core.visibility import record_of, scope_of_code

BLOCKED, UNBLOCKED = "blocked", "unblocked"
OUTCOMES = frozenset({BLOCKED, UNBLOCKED})
# How many tasks are searched for a circle of waits.
CIRCLE_TASKS_MAX = 1000


class Blocks:
    """What the reports of one order of a worker say about its blocked attempts, in order."""

    def __init__(self, worker: Worker, ctx: Context, endings: Endings) -> None:
        self._worker = worker
        self._ctx = ctx
        self._endings = endings
        # Attempts about which this order has said something, and what.
        self._now: dict[str, bool] = {}
        self._blocked = sum(count for held, count in worker.load.items() if held.blocked)

    def refused(self, task: Task, item: AttemptReport) -> AttemptReport | None:
        """Return the failure to process instead of a report that an attempt is blocked, if it must not wait;
        None if it may."""
        if item.outcome == UNBLOCKED:
            return None
        on = self._seen(task, item.on)
        first = self._waits_for_it(task, on) if _needs_each(item.until, item.on) else None
        if first is not None:
            return self._failed(task, "deadlock", f"it waits for {first}, which waits for it")
        full = None if self._is_blocked(task) else self._full(task)
        if full is None:
            return None
        message = (
            f"{full} are blocked on other tasks already: "
            "nest tasks less deeply, or use depends_on instead of waiting"
        )
        return self._failed(task, "too_many_blocked", message)

    def _full(self, task: Task) -> str | None:
        """Return the limit that one more blocked attempt exceeds, in words; None if there is room."""
        policy, node = self._ctx.policy, self._worker.id
        if self._blocked >= policy.blocked_attempts_max:
            return f"{self._blocked} attempts of {node} (HELIX_BLOCKED_ATTEMPTS_MAX)"
        # With as few on the whole node, the owner cannot have too many.
        most = policy.blocked_attempts_per_owner_max
        if self._blocked < most or self._blocked_of(task.owner) < most:
            return None
        return f"{most} attempts of {task.owner} on {node} (HELIX_BLOCKED_ATTEMPTS_PER_OWNER_MAX)"

    def _blocked_of(self, owner: str) -> int:
        tasks = self._ctx.state.tasks
        return sum(
            self._is_blocked(other) for name in self._worker.running if (other := tasks[name]).owner == owner
        )

    def _failed(self, task: Task, reason: str, message: str) -> AttemptReport:
        error: TaskError = {"reason": reason, "message": message, "worker": self._worker.id}
        return AttemptReport(task.id, task.attempt, "failed", error=error, retryable=False)

    def _waits_for_it(self, task: Task, names: Sequence[str]) -> str | None:
        """Return the first of some tasks that waits for a task, directly or not; None if none of them does,
        or only far away."""
        tasks, seen = self._ctx.state.tasks, set[str]()
        # Its parent cannot end before it.
        parent = parent_of(self._ctx.state, task)
        ends_with_it = {task.id} if parent is None else {task.id, parent.id}
        coming = deque((name, name) for name in names)
        while coming and len(seen) < CIRCLE_TASKS_MAX:
            name, first = coming.popleft()
            if name in ends_with_it:
                return first
            other = tasks.get(name)
            if other is None or name in seen:
                continue
            seen.add(name)
            coming.extend((next_one, first) for next_one in _needed_by(other))
        return None

    def events(self, task: Task, item: AttemptReport) -> list[Event]:
        """Return the facts of a report that an attempt is blocked, or goes on."""
        left = self._unfinished(task, self._seen(task, item.on)) if item.outcome == BLOCKED else []
        # With a task that has ended, what waits for any of them goes on in a moment.
        is_over = {"all": not left, "any": not left or len(left) < len(item.on)}
        if item.outcome == UNBLOCKED or is_over.get(item.until):
            return self._unblock(task)
        self._blocked += not self._is_blocked(task)
        self._now[task.id] = True
        until = item.until if item.until in is_over else "unblocked"
        return [TaskBlocked(task.id, task.attempt, left, until)]

    def _unblock(self, task: Task) -> list[Event]:
        if not self._is_blocked(task):
            return []
        self._blocked -= 1
        self._now[task.id] = False
        return [TaskUnblocked(task.id, task.attempt)]

    def _is_blocked(self, task: Task) -> bool:
        return self._now.get(task.id, task.block is not None)

    def _seen(self, task: Task, names: Sequence[str]) -> list[str]:
        """Return those tasks that the code of a task may see. It cannot wait for others, whatever it reports;
        they would inherit its priority, and readers of the task would learn their ids."""
        scope, tasks = scope_of_code(task), self._ctx.state.tasks
        known = names[:BLOCKED_ON_TASKS_MAX]
        return [name for name in known if name in tasks and scope.has(*record_of(tasks[name]))]

    def _unfinished(self, task: Task, names: Sequence[str]) -> list[str]:
        tasks = self._ctx.state.tasks
        return [
            name for name in dict.fromkeys(names) if name != task.id and not self._endings.over(tasks[name])
        ]


def _needs_each(until: str, on: Sequence[str] | Set[str]) -> bool:
    """Say whether what waits for some tasks goes on only when each of them has ended."""
    return until == "all" or (until == "any" and len(on) == 1)


def _needed_by(task: Task) -> Iterator[str]:
    """Yield the tasks that must end before another one can. A running one waits only for what it is blocked
    on."""
    if task.block is None or _needs_each(task.block.until, task.block.on):
        yield from islice(waited_for(task), CIRCLE_TASKS_MAX)
