"""All nodes with an index that is kept, not made anew: who is best for a shape of task costs no look at everybody.

For each shape (demands, capabilities, labels) and strategy there is a heap of nodes by score. A change of a node is
written to a log; a heap that is asked reads on in the log from where it was, and puts those nodes in again. What a
heap still holds of an older version of a node is thrown away when it comes up. So a placement costs a few heap
operations, however many nodes there are, and a shape that nobody asks for costs nothing.

To make a heap is to look at every node. A plan makes some of those that it lacks (`ration`): whoever asked for one in vain
is among the first in one of the next plans, so that every shape has its turn however many there are.
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

# Heaps that are kept; the one that was asked least lately goes first.
HEAPS_MAX = 128
# A log this much longer than the fleet is cut, and the heaps are made anew.
LOG_PER_NODE_MAX = 8
LOG_MIN = 4096
# Labels that are remembered as asked for: each that is added makes the heaps anew.
SOUGHT_MAX = 64

Entry = tuple[Score, int, int, Node]  # score, tie-break, the node's version then, node

Mark = tuple[list[Node], int]
# The shape, as a class that has nothing else, and the strategy.
HeapKey = tuple[TaskClass, str]


class Fleet:
    """Nodes by id. Every change of a node goes through here, or is told with `changed`."""

    def __init__(self, nodes: Iterable[Node], prefetch: Prefetch) -> None:
        self._prefetch_for = prefetch
        self.nodes: dict[str, Node] = {}
        # What the nodes have together, and lanes in use by class, over all nodes: what fair shares and quotas are counted from.
        self.totals: dict[str, float] = {}
        self.slots: dict[TaskClass, int] = {}
        self.turn = 0
        # Labels that some task has asked for: nodes that have them are kept for such tasks where others do as well.
        self.sought: set[tuple[str, str]] = set()
        # Nodes that may have become better for somebody, and nodes that have changed at all.
        self._freed: list[Node] = []
        self._changed: list[Node] = []
        self._heaps: OrderedDict[HeapKey, Heap] = OrderedDict()
        # Heaps that were asked for in vain, the longest ago first; those that may be made now, and how many others.
        self._put_off: dict[HeapKey, None] = {}
        self._entitled: frozenset[HeapKey] = frozenset()
        self._spare = sys.maxsize
        for node in nodes:
            self.add(node)

    def prefetch(self, task_class: TaskClass) -> int:
        """Return how many tasks of a class a lane holds. Shards that must run together never queue in one."""
        return 1 if task_class.gang else self._prefetch_for(task_class)

    def add(self, node: Node) -> None:
        """Take a node in, or replace the one of the same id."""
        self.remove(node.id)
        node.seek(self.sought)
        node.recompute(self.prefetch)
        self.nodes[node.id] = node
        self.turn = max(self.turn, node.turn)
        self._count(node, 1)
        self._add_total(node, 1)
        self._log(node, freed=True)

    def remove(self, node_id: str) -> None:
        """Forget a node."""
        node = self.nodes.pop(node_id, None)
        if node is not None:
            self._count(node, -1)
            self._add_total(node, -1)
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
        # Rare, and every score may have changed.
        self._forget_heaps()

    def reclass(self, task_classes: Container[TaskClass]) -> None:
        """Work out anew what is free where these classes run: lanes hold more of them, or fewer, than before."""
        for node in self.nodes.values():
            if any(task_class in task_classes for task_class in node.load):
                node.recompute(self.prefetch)
                self._log(node, freed=True)
        self.slots.clear()
        for node in self.nodes.values():
            self._count(node, 1)

    def reload(self, node: Node, load: dict[TaskClass, int]) -> None:
        """Replace what a node holds."""
        self._count(node, -1)
        node.load = dict(load)
        node.recompute(self.prefetch)
        self._count(node, 1)
        self._log(node, freed=True)

    def changed(self, node: Node) -> None:
        """Note that a node's `closed` or `foreign` has been changed."""
        node.recompute(self.prefetch)
        self._log(node, freed=True)

    def take(self, node: Node, task_class: TaskClass, count: int) -> None:
        """Give a node tasks of a class, or take them away again (a negative count)."""
        slots = node.take(task_class, count, self.prefetch(task_class))
        if slots:
            self._add_slots(task_class, slots)
        if count > 0:
            self.turn += 1
            node.turn = self.turn
        self._log(node, freed=count < 0)

    def keep(self, node: Node, resources: Iterable[str]) -> None:
        """Let none of these resources of a node be free, until `keep_no_more`."""
        node.kept = frozenset(resources)
        node.free.update(dict.fromkeys(node.kept, 0.0))
        node.mark_dirty()
        self._log(node, freed=False)

    def keep_no_more(self, node: Node, free: Mapping[str, float]) -> None:
        """Let so much of the resources that were kept be free again."""
        node.kept = frozenset()
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
        # The logs are not cleared: a heap that is still in somebody's hand goes on with the old ones.
        self._changed, self._freed = [], []
        self._heaps.clear()

    def mark(self) -> Mark:
        """Return where the log is now, for `changed_since`."""
        return self._changed, len(self._changed)

    def changed_since(self, mark: Mark) -> list[Node]:
        """Return the nodes that have changed since a mark; all of them when the log was cut meanwhile."""
        log, seen = mark
        return list(dict.fromkeys(log[seen:])) if log is self._changed else list(self.nodes.values())

    # ---------------------------------------------------------------------------------------- choosing

    def open_nodes(self) -> Iterator[Node]:
        """Give every node that takes new work."""
        return (node for node in self.nodes.values() if not node.unschedulable)

    def ration(self, nodes_max: int) -> None:
        """Let `heap_if_cheap` make heaps of so many nodes together, and at least one, until it is called again."""
        for key in self._entitled:
            # Nobody has asked for it any more.
            self._put_off.pop(key, None)
        heaps_max = max(1, nodes_max // max(1, len(self.nodes)))
        self._entitled = frozenset(islice(self._put_off, heaps_max))
        self._spare = heaps_max - len(self._entitled)

    def heap_if_cheap(self, task_class: TaskClass, strategy: Strategy) -> Heap | None:
        """Return the nodes for a class as `heap` does; None where that has to be made and others have their turn."""
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
        """Return the nodes for a class by a strategy's score, as they are now."""
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
    # Only demands, capabilities and labels matter for where it fits.
    return TaskClass("", "", task_class.demand, task_class.capabilities, task_class.labels), strategy.name


class Heap:
    """The nodes for one shape, by one strategy's score.

    Invariant: every open node that suits and has a free lane has an entry of a version in `newest`, whose score is
    not higher than the node's score now.
    """

    __slots__ = ("_log", "_seen", "entries", "newest", "shape", "strategy", "suited")

    def __init__(self, shape: TaskClass, strategy: Strategy, nodes: Iterable[Node], log: list[Node]) -> None:
        self._log = log
        self._seen = len(log)
        self.shape = shape
        self.strategy = strategy
        # The fixed part of the score, by node; None for one that does not suit.
        self.suited: dict[Node, float | None] = {}
        self.newest: dict[Node, int] = {}
        self.entries: list[Entry] = [entry for node in nodes if (entry := self._entry(node)) is not None]
        heapify(self.entries)

    def _entry(self, node: Node) -> Entry | None:
        if node in self.suited:
            fixed = self.suited[node]
        else:
            suits = node.suits(self.shape)
            fixed = self.suited[node] = self.strategy.fixed(node, self.shape) if suits else None
        if fixed is None or node.unschedulable or not node.fits(self.shape):
            self.newest.pop(node, None)
            return None
        self.newest[node] = node.version
        return self.strategy.score(node, fixed), node.order, node.version, node

    def _read_on(self) -> None:
        """Put nodes in again that have changed since the last look."""
        log = self._log
        if self._seen == len(log):
            return
        for node in dict.fromkeys(log[self._seen :]):
            if self.newest.get(node) != node.version:
                entry = self._entry(node)
                if entry is not None:
                    heappush(self.entries, entry)
        self._seen = len(log)

    def best(self) -> Node | None:
        """Return the node with the lowest score; it stays in."""
        self._read_on()
        entries = self.entries
        while entries:
            _, _, version, node = entries[0]
            if version != self.newest.get(node):
                heappop(entries)
            elif version != node.version:
                entry = self._entry(node)
                if entry is None:
                    heappop(entries)
                else:
                    heapreplace(entries, entry)
            else:
                return node
        return None
