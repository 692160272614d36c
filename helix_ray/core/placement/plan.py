"""Which waiting task goes to which node: `place(...)`, pure and replayable.

The same fleet, queues and time give the same plan. Whether a class fits is found out once per class, not
once per task.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from helix_ray.core.placement.fleet import Fleet, Heap
from helix_ray.core.placement.node import Node
from helix_ray.core.placement.preempt import make_room
from helix_ray.core.placement.queue_order import ClassQueue, QueueOrder
from helix_ray.core.placement.reservations import Reservations
from helix_ray.core.placement.rules import Rules, Shares
from helix_ray.core.placement.strategies import STRATEGIES
from helix_ray.core.ready_queue import ReadyQueue
from helix_ray.core.state import TaskClass
from helix_ray.core.strategy_names import DEFAULT
from helix_ray.core.waits import Reservation

# Nodes that one plan may look at to build heaps: about 30 ms, the longest that the master's
# loop should stand still.
HEAP_NODES_MAX = 20_000
# Why a class waits; RESERVED keeps the name that the API gives it.
NO_ROOM, QUOTA, RESERVED = "no_room", "quota", "held"


@dataclass(slots=True, kw_only=True)
class Plan:
    """`pairs` of (task id, node id), the attempts that must be `preempted` for them,
    and why classes are `blocked`.

    `reservations` go into the next plan's rules, and so do the classes `in_vain`, for which a search found no
    nodes to reserve; `searched` says that there was a search. `kept_out` are the nodes that a waiting class
    would get if they were not reserved for other tasks.
    """

    pairs: list[tuple[str, str]] = field(default_factory=list)
    preempted: list[tuple[str, int]] = field(default_factory=list)
    blocked: dict[TaskClass, str] = field(default_factory=dict)
    reservations: tuple[Reservation, ...] = ()
    searched: bool = False
    in_vain: list[TaskClass] = field(default_factory=list)
    kept_out: dict[TaskClass, tuple[str, ...]] = field(default_factory=dict)


def place(fleet: Fleet, ready: Mapping[TaskClass, ReadyQueue], rules: Rules, now: float, limit: int) -> Plan:
    """Return which tasks to start on which nodes: up to `limit` tasks (a gang is
    never split), in queue order.

    The fleet is changed: afterwards it carries the load of the plan. A class that needs a heap which does not
    exist yet may be deferred to one of the next plans (Fleet.ration).
    """
    fleet.seek(ready)
    fleet.ration(HEAP_NODES_MAX)
    shares = Shares(fleet.slots, fleet.totals, rules.quotas)
    planner = _Planner(fleet, rules, shares, ready, now, limit)
    order = QueueOrder(ready, rules, shares, now)
    while len(planner.plan.pairs) < limit and (queue := order.next()) is not None:
        if planner.place(queue):
            order.back(queue)
    return planner.ended()


class _Planner:
    """One plan while it is being made."""

    def __init__(
        self,
        fleet: Fleet,
        rules: Rules,
        shares: Shares,
        waiting: Mapping[TaskClass, ReadyQueue],
        now: float,
        limit: int,
    ) -> None:
        self.plan = Plan()
        self._reservations = Reservations(fleet, rules, waiting, now)
        self._fleet = fleet
        self._rules = rules
        self._shares = shares
        self._limit = limit
        # Nodes with partly filled slots of a class: those from before this plan, found once per class, and
        # those of this plan, which are filled up only when there is no free slot left, so that work is spread
        # over many nodes first.
        self._begun: dict[TaskClass, list[Node]] = {}
        self._opened: dict[TaskClass, list[Node]] = {}
        # A class was deferred to one of the next plans.
        self._left_some = False

    def ended(self) -> Plan:
        """Finish the plan and return it."""
        plan, reservations = self.plan, self._reservations
        plan.reservations = reservations.end(all_judged=len(plan.pairs) < self._limit and not self._left_some)
        plan.searched, plan.in_vain = reservations.searches > 0, reservations.in_vain
        return plan

    def place(self, queue: ClassQueue) -> bool:
        """Place some tasks of a class queue (all tasks of a gang); False if nothing can be placed now."""
        return self._place_gang(queue) if queue.task_class.gang else self._place_some(queue)

    def _heap(self, task_class: TaskClass) -> Heap | None:
        name = task_class.strategy or self._rules.strategy
        heap = self._fleet.heap_if_cheap(task_class, STRATEGIES.get(name) or STRATEGIES[DEFAULT])
        self._left_some = self._left_some or heap is None
        return heap

    def _place_some(self, queue: ClassQueue) -> bool:
        """Assign a batch of tasks of one class and level to one node."""
        task_class = queue.task_class
        prefetch = self._fleet.prefetch(task_class)
        # Partly filled slots first: they take more tasks without any free resource, and within a quota
        # that is used up.
        node = _with_rest(self._begun_nodes(task_class), task_class, prefetch) if prefetch > 1 else None
        if node is not None:
            self._fill(queue, node, prefetch)
            return True
        if self._shares.slots_allowed(task_class) == 0:
            return self._fill_up(queue, prefetch) or self._blocked(queue, QUOTA)
        heap = self._heap(task_class)
        if heap is None:
            return False
        node = heap.best()
        if node is None and self._fill_up(queue, prefetch):
            return True
        node = node or self._by_preemption(queue)
        if node is None:
            return self._blocked(queue, NO_ROOM)
        # An even share: a slot is filled up only if the queue has enough tasks for every candidate.
        share = -(-queue.left // max(1, len(heap.entries)))
        self._give(queue, node, max(1, min(prefetch, share, self._limit - len(self.plan.pairs))))
        if prefetch > 1 and node.rest(task_class, prefetch):
            self._opened.setdefault(task_class, []).append(node)
        return True

    def _blocked(self, queue: ClassQueue, reason: str, missing: int = 1) -> bool:
        task_class = queue.task_class
        kept_out = self._reservations.kept_out(task_class, missing, of_begun_slots=reason == QUOTA)
        if kept_out:
            self.plan.kept_out[task_class] = kept_out
        if reason == NO_ROOM:
            self._reservations.reserve_for(queue, self._shares.slots_allowed(task_class))
        self.plan.blocked[task_class] = RESERVED if kept_out else reason
        return False

    def _fill_up(self, queue: ClassQueue, prefetch: int) -> bool:
        """Fill up a slot that this plan has begun, because no other slot is free."""
        node = _with_rest(self._opened.get(queue.task_class, []), queue.task_class, prefetch)
        if node is None:
            return False
        self._fill(queue, node, prefetch)
        return True

    def _begun_nodes(self, task_class: TaskClass) -> list[Node]:
        begun = self._begun.get(task_class)
        if begun is None:
            runs = task_class in self._fleet.slots
            begun = [node for node in self._fleet.open_nodes() if task_class in node.load] if runs else []
            self._begun[task_class] = begun
        return begun

    def _fill(self, queue: ClassQueue, node: Node, prefetch: int) -> None:
        self._give(
            queue, node, min(node.rest(queue.task_class, prefetch), self._limit - len(self.plan.pairs))
        )

    def _give(self, queue: ClassQueue, node: Node, count: int) -> None:
        task_class = queue.task_class
        before = self._fleet.slots.get(task_class, 0)
        taken = queue.take(count)
        self._fleet.take(node, task_class, len(taken))
        self._shares.add(task_class, self._fleet.slots.get(task_class, 0) - before)
        self._reservations.started(task_class, node)
        self.plan.pairs.extend((task_id, node.id) for task_id in taken)

    def _by_preemption(self, queue: ClassQueue) -> Node | None:
        if self._rules.preempt_level is None or queue.level < self._rules.preempt_level:
            return None
        # Reservations do not bind a task that may preempt: look again without them before
        # any attempt is stopped.
        with self._reservations.lifted():
            heap = self._heap(queue.task_class)
            node = (heap.best() or self._made_room(queue)) if heap is not None else None
            if node is not None:
                self._reservations.give_up(node)
            return node

    def _made_room(self, queue: ClassQueue) -> Node | None:
        room = make_room(self._fleet, queue.task_class, queue.level, self._rules.running)
        if room is None:
            return None
        node, victims = room
        for victim in victims:
            self._fleet.take(node, victim.task_class, -1)
            self._shares.add(victim.task_class, -1)
            self.plan.preempted.append((victim.task_id, victim.attempt))
        return node

    def _place_gang(self, queue: ClassQueue) -> bool:
        """Place all waiting shards of a gang, or none."""
        task_class, wanted = queue.task_class, queue.left
        allowed = self._shares.slots_allowed(task_class)
        if allowed is not None and allowed < wanted:
            return self._blocked(queue, QUOTA)
        heap = self._heap(task_class)
        if heap is None:
            return False
        nodes = fit_together(self._fleet, heap, task_class, wanted)
        if len(nodes) < wanted:
            # Undone on the same fleet: a trial on a copy would cost a copy of every node for
            # each gang that waits.
            for node in nodes:
                self._fleet.take(node, task_class, -1)
            return self._blocked(queue, NO_ROOM, wanted - len(nodes))
        self._shares.add(task_class, wanted)
        self.plan.pairs.extend(
            (task_id, node.id) for task_id, node in zip(queue.take_all(), nodes, strict=True)
        )
        return False  # its queue is empty


def _with_rest(nodes: list[Node], task_class: TaskClass, prefetch: int) -> Node | None:
    """Return the last node with a partly filled slot; nodes whose slots are full, or
    that are reserved, are dropped."""
    while nodes:
        if nodes[-1].rest(task_class, prefetch) and not nodes[-1].is_reserved_from(task_class):
            return nodes[-1]
        nodes.pop()
    return None


def fit_together(fleet: Fleet, heap: Heap, task_class: TaskClass, wanted: int) -> list[Node]:
    """Assign up to `wanted` tasks of a class to nodes, one slot each; return the node of each."""
    nodes: list[Node] = []
    while len(nodes) < wanted and (node := heap.best()) is not None:
        fleet.take(node, task_class, 1)
        nodes.append(node)
    return nodes
