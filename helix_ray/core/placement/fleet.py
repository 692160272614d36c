"""All nodes, with an index that is maintained: finding the best node for a task does not look at every node.

For each set of constraints (demand, capabilities, labels) and strategy there is a heap of nodes by score. A
change of a node is appended to a log. When a heap is asked, it first reads the log from where it stopped and
pushes those nodes again; entries of older versions are dropped when they come up. So a placement costs a few
heap operations, however many nodes there are, and constraints that no task asks for cost nothing. The
package's docstring says why that is right.

Building a heap means looking at every node. A plan builds only some of the heaps that it lacks
(`ration`); those that it deferred are the first in one of the next plans, so every class gets its heap
however many classes there are.
"""

from __future__ import annotations

import sys
from collections import OrderedDict
from collections.abc import Container, Iterable, Iterator, Mapping
from heapq import heapify, heappop, heappush, heapreplace
from itertools import islice

from helix_ray.core.placement.node import Node, Prefetch, slots_of
from helix_ray.core.placement.strategies import Score, Strategy
from helix_ray.core.state import TaskClass

# Heaps in memory; the least recently used one is dropped first.
HEAPS_MAX = 128
# A log this many times longer than the fleet is cut: rebuilding the heaps is then cheaper than reading it.
LOG_PER_NODE_MAX = 8
LOG_MIN = 4096
# Labels that are remembered as asked for. Bounded, because every label added means rebuilding all heaps.
SOUGHT_MAX = 64

Entry = tuple[Score, int, int, Node]  # score, tie-break, the node's version then, node

Mark = tuple[list[Node], int]
# The constraints (as a class without anything else), and the name of the strategy.
HeapKey = tuple[TaskClass, str]


class Fleet:
    """Nodes by id. Every change of a node goes through the fleet, or is reported with `changed`."""

    def __init__(self, nodes: Iterable[Node], prefetch: Prefetch) -> None:
        self._prefetch_for = prefetch
        self.nodes: dict[str, Node] = {}
        # Total capacity, and slots in use by class over all nodes: fair shares and quotas
        # are computed from these.
        self.totals: dict[str, float] = {}
        self.slots: dict[TaskClass, int] = {}
        self.turn = 0
        # Labels that some task has asked for: nodes without them are preferred for tasks that
        # do not need them.
        self.sought: set[tuple[str, str]] = set()
        # The two logs: nodes that may have become better for some class, and nodes that have
        # changed in any way.
        self._freed: list[Node] = []
        self._changed: list[Node] = []
        self._heaps: OrderedDict[HeapKey, Heap] = OrderedDict()
        # Heaps that were deferred, oldest first; those that may be built in this plan, and how many others.
        self._put_off: dict[HeapKey, None] = {}
        self._entitled: frozenset[HeapKey] = frozenset()
        self._spare = sys.maxsize
        for node in nodes:
            self.add(node)

    def prefetch(self, task_class: TaskClass) -> int:
        """Return the prefetch of a class; 1 for gangs, whose shards must all run at once."""
        return 1 if task_class.gang else self._prefetch_for(task_class)

    def add(self, node: Node) -> None:
        """Add a node, or replace the one with the same id."""
        self.remove(node.id)
        node.seek(self.sought)
        node.recompute(self.prefetch)
        self.nodes[node.id] = node
        self.turn = max(self.turn, node.turn)
        self._count(node, 1)
        self._add_total(node, 1)
        self._log(node, freed=True)

    def remove(self, node_id: str) -> None:
        """Remove a node."""
        node = self.nodes.pop(node_id, None)
        if node is not None:
            self._count(node, -1)
            self._add_total(node, -1)
            # Heaps may still have entries of it: they are dropped because the node is unschedulable and
            # has a new version.
            node.unschedulable = node.unschedulable or "gone"
            node.mark_dirty()

    def seek(self, task_classes: Iterable[TaskClass]) -> None:
        """Note the labels that classes ask for, up to SOUGHT_MAX of them."""
        found = {pair for task_class in task_classes for pair in task_class.labels} - self.sought
        room = SOUGHT_MAX - len(self.sought)
        if not found or room <= 0:
            return
        self.sought.update(sorted(found)[:room])
        for node in self.nodes.values():
            node.seek(self.sought)
        # Every score may have changed; labels that no task has asked for before are rare.
        self._forget_heaps()

    def reclass(self, task_classes: Container[TaskClass]) -> None:
        """Recompute what is free on nodes that run these classes: their prefetch has changed."""
        for node in self.nodes.values():
            if any(task_class in task_classes for task_class in node.load):
                node.recompute(self.prefetch)
                self._log(node, freed=True)
        self.slots.clear()
        for node in self.nodes.values():
            self._count(node, 1)

    def reload(self, node: Node, load: dict[TaskClass, int]) -> None:
        """Replace the load of a node."""
        self._count(node, -1)
        node.load = dict(load)
        node.recompute(self.prefetch)
        self._count(node, 1)
        self._log(node, freed=True)

    def changed(self, node: Node) -> None:
        """Note that the `unschedulable` reason or the external usage of a node has been changed."""
        node.recompute(self.prefetch)
        self._log(node, freed=True)

    def take(self, node: Node, task_class: TaskClass, count: int) -> None:
        """Assign tasks of a class to a node, or take them back (a negative count)."""
        slots = node.take(task_class, count, self.prefetch(task_class))
        if slots:
            self._add_slots(task_class, slots)
        if count > 0:
            self.turn += 1
            node.turn = self.turn
        self._log(node, freed=count < 0)

    def reserve(self, node: Node, resources: Iterable[str]) -> None:
        """Show these resources of a node as not free, until `release`."""
        node.reserved = frozenset(resources)
        node.free.update(dict.fromkeys(node.reserved, 0.0))
        node.mark_dirty()
        self._log(node, freed=False)

    def release(self, node: Node, free: Mapping[str, float]) -> None:
        """Show the given amounts of the reserved resources as free again."""
        node.reserved = frozenset()
        node.free.update(free)
        node.mark_dirty()
        self._log(node, freed=True)

    def _count(self, node: Node, sign: int) -> None:
        for task_class, count in node.load.items():
            self._add_slots(task_class, sign * slots_of(count, self.prefetch(task_class)))

    def _add_total(self, node: Node, sign: int) -> None:
        for name, amount in node.capacity.items():
            self.totals[name] = self.totals.get(name, 0.0) + sign * amount

    def _add_slots(self, task_class: TaskClass, slots: int) -> None:
        left = self.slots.get(task_class, 0) + slots
        if left:
            self.slots[task_class] = left
        else:
            self.slots.pop(task_class, None)

    def _log(self, node: Node, *, freed: bool) -> None:
        self._changed.append(node)
        if freed:
            self._freed.append(node)
        if len(self._changed) > LOG_MIN + LOG_PER_NODE_MAX * len(self.nodes):
            self._forget_heaps()

    def _forget_heaps(self) -> None:
        # The old lists are left as they are: a heap that a caller still uses goes on reading them.
        self._changed, self._freed = [], []
        self._heaps.clear()

    def mark(self) -> Mark:
        """Return the present end of the log, for `changed_since`."""
        return self._changed, len(self._changed)

    def changed_since(self, mark: Mark) -> list[Node]:
        """Return the nodes that have changed since a mark; all nodes if the log was cut since then."""
        log, seen = mark
        return list(dict.fromkeys(log[seen:])) if log is self._changed else list(self.nodes.values())

    # ---------------------------------------------------------------------------------------- choosing

    def open_nodes(self) -> Iterator[Node]:
        """Yield every schedulable node."""
        return (node for node in self.nodes.values() if not node.unschedulable)

    def ration(self, nodes_max: int) -> None:
        """Allow `heap_if_cheap` to build heaps of up to `nodes_max` nodes in total, but at least one heap."""
        for key in self._entitled:
            # It was entitled to be built and was not asked for: no class needs it.
            self._put_off.pop(key, None)
        heaps_max = max(1, nodes_max // max(1, len(self.nodes)))
        self._entitled = frozenset(islice(self._put_off, heaps_max))
        self._spare = heaps_max - len(self._entitled)

    def heap_if_cheap(self, task_class: TaskClass, strategy: Strategy) -> Heap | None:
        """Return the heap for a class; None if it must be built and the ration of this plan is used up."""
        key = _key(task_class, strategy)
        if key not in self._heaps:
            if key not in self._entitled:
                if self._spare <= 0:
                    self._put_off[key] = None
                    return None
                self._spare -= 1
            self._put_off.pop(key, None)
        return self._heap(key, strategy)

    def heap(self, task_class: TaskClass, strategy: Strategy) -> Heap:
        """Return the heap of nodes for a class by a strategy's score, up to date."""
        return self._heap(_key(task_class, strategy), strategy)

    def _heap(self, key: HeapKey, strategy: Strategy) -> Heap:
        log = self._freed if strategy.steady else self._changed
        heap = self._heaps.get(key)
        if heap is None:
            heap = self._heaps[key] = Heap(key[0], strategy, self.open_nodes(), log)
            if len(self._heaps) > HEAPS_MAX:
                self._heaps.popitem(last=False)
        else:
            self._heaps.move_to_end(key)
        return heap


def _key(task_class: TaskClass, strategy: Strategy) -> HeapKey:
    # Only demand, capabilities and labels decide where a task fits: classes that differ
    # otherwise share a heap.
    return TaskClass("", "", task_class.demand, task_class.capabilities, task_class.labels), strategy.name


class Heap:
    """The nodes for one set of constraints, by one strategy's score.

    Invariant: every schedulable node that suits and has a free slot has an entry of the version in
    `newest`, whose score is not higher than the node's score now. An entry may be too optimistic, and is
    corrected when it comes up; one that is too pessimistic would hide a better node, which is why a node
    that may have improved is pushed again.
    """

    __slots__ = ("_log", "_seen", "constraints", "entries", "newest", "strategy", "suited")

    def __init__(
        self, constraints: TaskClass, strategy: Strategy, nodes: Iterable[Node], log: list[Node]
    ) -> None:
        self._log = log
        self._seen = len(log)
        self.constraints = constraints
        self.strategy = strategy
        # The constant part of the score, by node; None for a node that does not suit.
        self.suited: dict[Node, float | None] = {}
        self.newest: dict[Node, int] = {}
        self.entries: list[Entry] = [entry for node in nodes if (entry := self._entry(node)) is not None]
        heapify(self.entries)

    def _entry(self, node: Node) -> Entry | None:
        if node in self.suited:
            fixed = self.suited[node]
        else:
            suits = node.suits(self.constraints)
            fixed = self.suited[node] = self.strategy.fixed(node, self.constraints) if suits else None
        if fixed is None or node.unschedulable or not node.fits(self.constraints):
            self.newest.pop(node, None)
            return None
        self.newest[node] = node.version
        return self.strategy.score(node, fixed), node.order, node.version, node

    def _read_on(self) -> None:
        """Push the nodes again that have changed since the last call."""
        log = self._log
        if self._seen == len(log):
            return
        # Each node once: one that has changed ten times since the last call needs one entry.
        for node in dict.fromkeys(log[self._seen :]):
            if self.newest.get(node) != node.version:
                entry = self._entry(node)
                if entry is not None:
                    heappush(self.entries, entry)
        self._seen = len(log)

    def best(self) -> Node | None:
        """Return the node with the lowest score; it stays in the heap."""
        self._read_on()
        entries = self.entries
        while entries:
            _, _, version, node = entries[0]
            if version != self.newest.get(node):
                # Superseded by an entry that was pushed later.
                heappop(entries)
            elif version != node.version:
                # It has changed since, and only to the worse, or the log would have brought a better entry.
                entry = self._entry(node)
                if entry is None:
                    heappop(entries)
                else:
                    heapreplace(entries, entry)
            else:
                return node
        return None
