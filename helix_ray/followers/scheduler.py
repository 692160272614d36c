"""Gives pending tasks to node workers: facts in, StartAttempts out."""

from __future__ import annotations

from collections import OrderedDict

from helix_ray.core.events import TaskCompleted, TaskFailed
from helix_ray.core.orders import OrderBody, StartAttempts
from helix_ray.core.placement import Node, place
from helix_ray.core.policy import Policy
from helix_ray.core.state import TaskClass, Worker
from helix_ray.followers.base import News

# Work that a lane may have before it: enough to bridge the way to the node and back, little enough that an
# urgent task does not wait behind it.
PREFETCH_S = 0.05
LANE_TASKS_MAX = 256
ASSIGN_TASKS_MAX = 1000
DURATION_WEIGHT = 0.2
CLASSES_REMEMBERED_MAX = 10_000


class Scheduler:
    """Remembers how long each class of task takes (a moving average, memory only) and places what is ready."""

    name = "scheduler"

    def __init__(self, policy: Policy) -> None:
        self._aging_s = policy.priority_aging_s
        self._durations: OrderedDict[TaskClass, float] = OrderedDict()

    def react(self, news: News) -> list[OrderBody]:
        """Place what fits now."""
        self._learn(news)
        if not any(group.kind != "external" for group in news.state.ready):
            return []
        nodes = [
            _node(w) for w in news.state.workers.values() if w.kind == "node" and not (w.lost or w.draining)
        ]
        if not nodes:
            return []
        pairs = place(nodes, news.state.ready, self.depth, self._aging_s, ASSIGN_TASKS_MAX)
        return [StartAttempts(tuple(pairs))] if pairs else []

    def depth(self, group: TaskClass) -> int:
        """Return how many tasks of a class one lane may hold."""
        duration = self._durations.get(group)
        if duration is None:
            return 1
        return max(1, min(LANE_TASKS_MAX, int(PREFETCH_S / max(duration, 1e-6))))

    def _learn(self, news: News) -> None:
        for fact in news.facts:
            event = fact.event
            if isinstance(event, (TaskCompleted, TaskFailed)) and event.duration_s is not None:
                task = news.state.tasks.get(event.id)
                if task is not None:
                    self._note(task.group, event.duration_s)

    def _note(self, group: TaskClass, duration_s: float) -> None:
        known = self._durations.get(group)
        # One long run counts at once: holding too much in a lane hurts more than holding too little.
        if known is None or duration_s > 4 * known:
            self._durations[group] = duration_s
        else:
            self._durations[group] = known + DURATION_WEIGHT * (duration_s - known)
        if len(self._durations) > CLASSES_REMEMBERED_MAX:
            self._durations.popitem(last=False)


def _node(worker: Worker) -> Node:
    capacity = {name: float(amount) for name, amount in worker.resources.items()}
    return Node(worker.id, capacity, worker.capabilities, worker.labels, dict(worker.load))
