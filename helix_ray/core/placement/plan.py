"""Which waiting task goes to which node: `place(...)`, pure and replayable.

The same fleet, queues and time give the same plan. What does not fit is found out once a class and not once a task.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from helix_ray.core.placement.fleet import Fleet, Heap
from helix_ray.core.placement.keeper import Keeper
from helix_ray.core.placement.node import Node
from helix_ray.core.placement.preempt import make_room
from helix_ray.core.placement.rules import Rules, Shares
from helix_ray.core.placement.strategies import DEFAULT, STRATEGIES
from helix_ray.core.placement.turns import Line, Turns
from helix_ray.core.state import ReadyQueue, TaskClass
from helix_ray.core.waits import Hold

# Nodes that one plan looks at to make heaps: some thirty milliseconds' worth.
HEAP_NODES_MAX = 20_000
# Why a class waits.
NO_ROOM, QUOTA, HELD = "no_room", "quota", "held"


@dataclass(slots=True)
class Plan:
    """`pairs` of (task id, node id); `preempted` attempts that must stop for them; `blocked`: why classes wait.

    `holds` are for the next plan's rules, as is `in_vain`: classes for which nodes were searched and none found;
    `searched` says that there was a search. `kept_out`: nodes that waiting classes would have without the holds of others.
    """

    pairs: list[tuple[str, str]] = field(default_factory=list)
    preempted: list[tuple[str, int]] = field(default_factory=list)
    blocked: dict[TaskClass, str] = field(default_factory=dict)
    holds: tuple[Hold, ...] = ()
    searched: bool = False
    in_vain: list[TaskClass] = field(default_factory=list)
    kept_out: dict[TaskClass, tuple[str, ...]] = field(default_factory=dict)


def place(fleet: Fleet, ready: Mapping[TaskClass, ReadyQueue], rules: Rules, now: float, limit: int) -> Plan:
    """Return what to start where: up to `limit` tasks (a gang is never cut), in the order of core/placement/turns.py.

    The fleet is changed: it carries the plan's load afterwards. A shape whose nodes would have to be looked at one by one may be
    left for one of the next plans (Fleet.ration).
    """
    fleet.seek(ready)
    fleet.ration(HEAP_NODES_MAX)
    shares = Shares(fleet.lanes, fleet.totals, rules.quotas)
    planner = _Planner(fleet, rules, shares, ready, now, limit)
    turns = Turns(ready, rules, shares, now)
    while len(planner.plan.pairs) < limit and (line := turns.next()) is not None:
        if planner.place(line):
            turns.back(line)
    return planner.ended()


class _Planner:
    """One plan in the making."""

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
        self._keeper = Keeper(fleet, rules, waiting, now)
        self._fleet = fleet
        self._rules = rules
        self._shares = shares
        self._limit = limit
        # Nodes whose begun lanes of a class take more: those of before, found once a class, and those of this plan,
        # which are filled up only when nothing else is left, so that work goes to many nodes first.
        self._begun: dict[TaskClass, list[Node]] = {}
        self._opened: dict[TaskClass, list[Node]] = {}
        # A class was left for one of the next plans.
        self._left_some = False

    def ended(self) -> Plan:
        """Return the plan as it is now."""
        plan, keeper = self.plan, self._keeper
        plan.holds = keeper.end(all_judged=len(plan.pairs) < self._limit and not self._left_some)
        plan.searched, plan.in_vain = keeper.searches > 0, keeper.in_vain
        return plan

    def place(self, line: Line) -> bool:
        """Place some of a line's tasks (all of a gang's); False when nothing can be placed now."""
        return self._place_gang(line) if line.group.gang else self._place_some(line)

    def _heap(self, group: TaskClass) -> Heap | None:
        name = group.strategy or self._rules.strategy
        heap = self._fleet.heap_if_cheap(group, STRATEGIES.get(name) or STRATEGIES[DEFAULT])
        self._left_some = self._left_some or heap is None
        return heap

    def _place_some(self, line: Line) -> bool:
        """Give one node a share of one class at one level."""
        group = line.group
        depth = self._fleet.depth(group)
        node = _with_rest(self._begun_nodes(group), group, depth) if depth > 1 else None
        if node is not None:
            self._fill(line, node, depth)
            return True
        if self._shares.lanes_allowed(group) == 0:
            return self._fill_up(line, depth) or self._blocked(line, QUOTA)
        heap = self._heap(group)
        if heap is None:
            return False
        node = heap.best()
        if node is None and self._fill_up(line, depth):
            return True
        node = node or self._by_preemption(line)
        if node is None:
            return self._blocked(line, NO_ROOM)
        # An even share: a lane is filled only when there is enough for every node that may have room.
        share = -(-line.left // max(1, len(heap.entries)))
        self._give(line, node, max(1, min(depth, share, self._limit - len(self.plan.pairs))))
        if depth > 1 and node.rest(group, depth):
            self._opened.setdefault(group, []).append(node)
        return True

    def _blocked(self, line: Line, reason: str, missing: int = 1) -> bool:
        group = line.group
        kept_out = self._keeper.kept_out(group, missing, of_begun_lanes=reason == QUOTA)
        if kept_out:
            self.plan.kept_out[group] = kept_out
        if reason == NO_ROOM:
            self._keeper.hold_for(line, self._shares.lanes_allowed(group))
        self.plan.blocked[group] = HELD if kept_out else reason
        return False

    def _fill_up(self, line: Line, depth: int) -> bool:
        """Give the rest of a lane that this plan has begun, when no further lane can be had."""
        node = _with_rest(self._opened.get(line.group, []), line.group, depth)
        if node is None:
            return False
        self._fill(line, node, depth)
        return True

    def _begun_nodes(self, group: TaskClass) -> list[Node]:
        begun = self._begun.get(group)
        if begun is None:
            runs = group in self._fleet.lanes
            begun = [node for node in self._fleet.open_nodes() if group in node.load] if runs else []
            self._begun[group] = begun
        return begun

    def _fill(self, line: Line, node: Node, depth: int) -> None:
        self._give(line, node, min(node.rest(line.group, depth), self._limit - len(self.plan.pairs)))

    def _give(self, line: Line, node: Node, count: int) -> None:
        group = line.group
        before = self._fleet.lanes.get(group, 0)
        taken = line.take(count)
        self._fleet.take(node, group, len(taken))
        self._shares.add(group, self._fleet.lanes.get(group, 0) - before)
        self._keeper.started(group, node)
        self.plan.pairs.extend((task_id, node.id) for task_id in taken)

    def _by_preemption(self, line: Line) -> Node | None:
        if self._rules.preempt_level is None or line.level < self._rules.preempt_level:
            return None
        with self._keeper.lifted():
            heap = self._heap(line.group)
            node = (heap.best() or self._made_room(line)) if heap is not None else None
            if node is not None:
                self._keeper.give_up(node)
            return node

    def _made_room(self, line: Line) -> Node | None:
        room = make_room(self._fleet, line.group, line.level, self._rules.held)
        if room is None:
            return None
        node, victims = room
        for victim in victims:
            self._fleet.take(node, victim.group, -1)
            self._shares.add(victim.group, -1)
            self.plan.preempted.append((victim.task_id, victim.attempt))
        return node

    def _place_gang(self, line: Line) -> bool:
        """Place every waiting shard of a gang, or none."""
        group, wanted = line.group, line.left
        allowed = self._shares.lanes_allowed(group)
        if allowed is not None and allowed < wanted:
            return self._blocked(line, QUOTA)
        heap = self._heap(group)
        if heap is None:
            return False
        nodes = fit_together(self._fleet, heap, group, wanted)
        if len(nodes) < wanted:
            for node in nodes:
                self._fleet.take(node, group, -1)
            return self._blocked(line, NO_ROOM, wanted - len(nodes))
        self._shares.add(group, wanted)
        self.plan.pairs.extend(
            (task_id, node.id) for task_id, node in zip(line.take_all(), nodes, strict=True)
        )
        return False  # nothing of it is left


def _with_rest(nodes: list[Node], group: TaskClass, depth: int) -> Node | None:
    """Return the last of the nodes whose begun lane takes more; those whose lanes are full, or that are held, are dropped."""
    while nodes:
        if nodes[-1].rest(group, depth) and not nodes[-1].keeps_from(group):
            return nodes[-1]
        nodes.pop()
    return None


def fit_together(fleet: Fleet, heap: Heap, group: TaskClass, wanted: int) -> list[Node]:
    """Give up to `wanted` tasks of a class to nodes, a lane each; return the node of each."""
    nodes: list[Node] = []
    while len(nodes) < wanted and (node := heap.best()) is not None:
        fleet.take(node, group, 1)
        nodes.append(node)
    return nodes
