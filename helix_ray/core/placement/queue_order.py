"""Queue order: which class queue is next.

First by priority level, where every `aging_s` of waiting counts as one level, so nothing starves.
Within a level the project with the smallest dominant share goes first, and within a project the
task that was submitted first.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from heapq import heapify, heappop, heappush, heapreplace
from itertools import islice, tee

from helix_ray.core.placement.rules import Rules, Shares
from helix_ray.core.ready_queue import ReadyQueue
from helix_ray.core.state import EXTERNAL, MANUAL, SHARDED, TaskClass

Rank = tuple[int, float, float]  # negated boosted level, dominant share of its project, submit time


class ClassQueue:
    """The waiting tasks of one class, taken from the front of each level. `level` is the
    level of the next task."""

    __slots__ = ("_aging_s", "_heads", "_now", "_rests", "best", "left", "level", "number", "task_class")

    def __init__(
        self, number: int, task_class: TaskClass, queue: ReadyQueue, aging_s: float, now: float
    ) -> None:
        self.number = number
        self.task_class = task_class
        self.left = queue.size
        self.level = 0
        self._aging_s = aging_s
        self._now = now
        self._rests: list[Iterator[tuple[str, float]]] = [iter(level.items()) for level in queue.levels]
        self._heads: list[tuple[str, float] | None] = [next(rest, None) for rest in self._rests]
        # (negated boosted level, submit time) of the next task.
        self.best = self._find_best()

    def _find_best(self) -> tuple[int, float]:
        best: tuple[int, float] = (1, 0.0)  # after every real level
        for level, head in enumerate(self._heads):
            if head is not None:
                key = (-self._boosted(level, head[1]), head[1])
                if key <= best:
                    best, self.level = key, level
        return best

    def ahead(self, count: int) -> list[tuple[str, float]]:
        """Return the next `count` tasks with their submit times, without taking them."""
        found: list[tuple[int, float, int, int, str]] = []
        for level, head in enumerate(self._heads):
            if head is not None:
                self._rests[level], coming = tee(self._rests[level])
                for place, (task_id, since) in enumerate((head, *islice(coming, count - 1))):
                    found.append((-self._boosted(level, since), since, -level, place, task_id))
        return [(task_id, since) for _, since, _, _, task_id in sorted(found)[:count]]

    def _boosted(self, level: int, since: float) -> int:
        return level + int(max(0.0, self._now - since) / self._aging_s)

    def take(self, count: int) -> list[str]:
        """Take up to `count` tasks of the next level."""
        taken: list[str] = []
        level = self.level
        rest, head = self._rests[level], self._heads[level]
        while len(taken) < count and head is not None:
            taken.append(head[0])
            head = next(rest, None)
        self._heads[level] = head
        self.left -= len(taken)
        self.best = self._find_best()
        return taken

    def take_all(self) -> list[str]:
        """Take all tasks of all levels, the most urgent first."""
        taken: list[str] = []
        while self.left:
            taken += self.take(self.left)
        return taken


class QueueOrder:
    """Gives the class queues in the order of their ranks, which change during a
    plan as projects get shares."""

    def __init__(
        self, ready: Mapping[TaskClass, ReadyQueue], rules: Rules, shares: Shares, now: float
    ) -> None:
        queues = [
            ClassQueue(i, task_class, queue, rules.aging_s, now)
            for i, (task_class, queue) in enumerate(ready.items())
            if queue.size and task_class.kind not in (EXTERNAL, SHARDED) and task_class.strategy != MANUAL
        ]
        self._shares = shares
        # With a single project every share is the same: do not compute it.
        self._fair = len({queue.task_class.project for queue in queues}) > 1
        self._heap = [(self._rank(queue), queue.number, queue) for queue in queues]
        heapify(self._heap)

    def _rank(self, queue: ClassQueue) -> Rank:
        share = self._shares.dominant(queue.task_class.project) if self._fair else 0.0
        return queue.best[0], share, queue.best[1]

    def next(self) -> ClassQueue | None:
        """Take out the class queue that is next."""
        while self._heap:
            rank, number, queue = self._heap[0]
            now = self._rank(queue)
            if now <= rank:
                heappop(self._heap)
                return queue
            # Its project has got more since it was ranked. Shares grow within a plan, so a stale rank is only
            # ever too good (preemption may shrink one: that project then comes a little late).
            heapreplace(self._heap, (now, number, queue))
        return None

    def back(self, queue: ClassQueue) -> None:
        """Put a class queue back if it has tasks left."""
        if queue.left > 0:
            heappush(self._heap, (self._rank(queue), queue.number, queue))
