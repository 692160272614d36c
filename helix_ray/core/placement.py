"""Which waiting task goes to which node: `place(...)`, pure and replayable.

Tasks are handled by class (core/state.py TaskClass), so that what does not fit is found out once a class and
not once a task. A node offers *lanes*: a lane holds the resources of one running task of a class, and takes up
to `depth(class)` tasks, of which it runs one at a time. Depth is 1 for work of unknown or long duration; short
work goes out in batches, so that a lane does not stand still while the next task travels.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from heapq import heapify, heappop, heappush
from itertools import islice

from helix_ray.core.state import ReadyQueue, TaskClass

# Float sums of fractions (0.1 GPU ten times) must still fit into a whole.
EPSILON = 1e-9
# Lanes a node opens for tasks that ask for no resource at all.
FREE_LANES_MAX = 32


@dataclass(slots=True)
class Node:
    """A live node worker as the scheduler sees it."""

    id: str
    capacity: dict[str, float]
    capabilities: frozenset[str]
    labels: dict[str, str]
    # How many tasks of each class it holds.
    load: dict[TaskClass, int]
    free: dict[str, float] = field(default_factory=dict)

    def settle(self, depth: Callable[[TaskClass], int]) -> None:
        """Work out what is free, from the lanes that the load takes up."""
        self.free = dict(self.capacity)
        for group, count in self.load.items():
            lanes = -(-count // depth(group))
            for name, amount in group.demand:
                self.free[name] = self.free.get(name, 0.0) - amount * lanes

    def room(self, group: TaskClass, depth: int) -> int:
        """Return how many more tasks of a class fit now."""
        count = self.load.get(group, 0)
        used = -(-count // depth)
        return used * depth - count + depth * self._free_lanes(group, used)

    def _free_lanes(self, group: TaskClass, used: int) -> int:
        if not group.demand:
            return max(0, FREE_LANES_MAX - used)
        lanes = sys.maxsize
        for name, amount in group.demand:
            lanes = min(lanes, int((self.free.get(name, 0.0) + EPSILON) / amount))
        return max(0, lanes)

    def take(self, group: TaskClass, count: int, depth: int) -> None:
        """Account for `count` more tasks of a class."""
        before = self.load.get(group, 0)
        lanes = -(-(before + count) // depth) - -(-before // depth)
        self.load[group] = before + count
        for name, amount in group.demand:
            self.free[name] = self.free.get(name, 0.0) - amount * lanes

    def suits(self, group: TaskClass) -> bool:
        """Say whether labels and capabilities allow the class here, whatever is free."""
        return self.capabilities.issuperset(group.capabilities) and all(
            self.labels.get(name) == value for name, value in group.labels
        )

    def utilisation(self) -> float:
        """Return the fullest dimension's share in use, 0 to 1."""
        shares = (
            1.0 - self.free.get(name, 0.0) / total for name, total in self.capacity.items() if total > 0
        )
        return max(shares, default=0.0)


def place(
    nodes: Sequence[Node],
    ready: Mapping[TaskClass, ReadyQueue],
    depth: Callable[[TaskClass], int],
    aging_s: float,
    limit: int,
) -> list[tuple[str, str]]:
    """Return up to `limit` (task id, node id) pairs: most urgent class first, on the least utilised node that
    fits. `nodes` are changed: they carry the plan's load afterwards."""
    for node in nodes:
        node.settle(depth)
    heads: list[tuple[float, int, TaskClass, int]] = []
    taken: dict[tuple[TaskClass, int], int] = {}
    for i, (group, queue) in enumerate(ready.items()):
        if group.kind != "external":
            _push_head(heads, i, group, queue, taken, aging_s)
    heapify(heads)
    pairs: list[tuple[str, str]] = []
    while heads and len(pairs) < limit:
        _, i, group, level = heappop(heads)
        queue = ready[group]
        placed = _place_some(nodes, group, queue, level, taken, depth(group), limit - len(pairs), pairs)
        if placed:
            _push_head(heads, i, group, queue, taken, aging_s)
    return pairs


def _push_head(
    heads: list[tuple[float, int, TaskClass, int]],
    i: int,
    group: TaskClass,
    queue: ReadyQueue,
    taken: dict[tuple[TaskClass, int], int],
    aging_s: float,
) -> None:
    """Put a class back with its best remaining task, if it has one."""
    best: tuple[float, int] | None = None
    for level, line in enumerate(queue.levels):
        skip = taken.get((group, level), 0)
        if skip < len(line):
            created_at = next(iter(line.values())) if not skip else next(islice(line.values(), skip, None))
            rank = created_at - level * aging_s
            if best is None or rank <= best[0]:
                best = (rank, level)
    if best is not None:
        heappush(heads, (best[0], i, group, best[1]))


def _place_some(
    nodes: Sequence[Node],
    group: TaskClass,
    queue: ReadyQueue,
    level: int,
    taken: dict[tuple[TaskClass, int], int],
    depth: int,
    limit: int,
    pairs: list[tuple[str, str]],
) -> int:
    """Give one node an even share of one class at one level; return how many were placed (0: nothing fits)."""
    rooms = [(room, node) for node in nodes if node.suits(group) and (room := node.room(group, depth)) > 0]
    if not rooms:
        return 0
    skip = taken.get((group, level), 0)
    left = len(queue.levels[level]) - skip
    room, node = min(rooms, key=lambda pair: (pair[1].utilisation(), -pair[0], pair[1].id))
    count = min(left, room, limit, max(1, min(depth, -(-left // len(rooms)))))
    pairs.extend((task_id, node.id) for task_id in islice(queue.levels[level], skip, skip + count))
    taken[group, level] = skip + count
    node.take(group, count, depth)
    return count
