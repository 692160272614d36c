"""Does what time asks for: delayed tasks come back, deadlines and timeouts pass, workers lost long ago are forgotten."""

from __future__ import annotations

from helix_ray.core.decide.workers import lost_for_s
from helix_ray.core.lifecycle import Status
from helix_ray.core.orders import ExpireTasks, OrderBody, ReleaseTasks, RetireWorkers
from helix_ray.core.policy import Policy
from helix_ray.core.state import State
from helix_ray.followers.base import News

CHECK_EVERY_S = 0.1
RETIRE_EVERY_S = 60.0


class Timekeeper:
    """Looks at the clocks of tasks ten times a second."""

    name = "timers"

    def __init__(self, policy: Policy) -> None:
        self._next = self._retire_next = 0.0
        self._keep_s = policy.lost_worker_keep_s

    def react(self, news: News) -> list[OrderBody]:
        """Return what is due now."""
        if news.mono < self._next:
            return []
        self._next = news.mono + CHECK_EVERY_S
        orders: list[OrderBody] = []
        due = tuple(task_id for task_id, at in news.state.delayed.items() if at <= news.now)
        if due:
            orders.append(ReleaseTasks(due))
        late = tuple(task_id for task_id, at in news.state.deadlines.items() if at <= news.now)
        if late:
            orders.append(ExpireTasks(late, "deadline"))
        overdue = _external_timeouts(news.state, news.now)
        if overdue:
            orders.append(ExpireTasks(overdue, "timeout"))
        if news.mono >= self._retire_next:
            self._retire_next = news.mono + RETIRE_EVERY_S
            gone = tuple(w.id for w in news.state.workers.values() if lost_for_s(w, news.now) > self._keep_s)
            if gone:
                orders.append(RetireWorkers(gone))
        return orders


def _external_timeouts(state: State, now: float) -> tuple[str, ...]:
    """Return attempts that outlived their timeout at external workers; nodes enforce theirs where they run."""
    overdue = []
    for worker in state.workers.values():
        if worker.kind == "external":
            for task_id in worker.held:
                task = state.tasks[task_id]
                timeout = task.spec.get("timeout_s")
                if (
                    timeout is not None
                    and task.status is Status.RUNNING
                    and now - (task.started_at or now) > timeout
                ):
                    overdue.append(task_id)
    return tuple(overdue)
