"""Holds in the course of one plan: those of before that are still good, and others where somebody has waited long.

A hold is for one task or one gang. On its nodes, what that asks for is kept from those whose turn comes later; nothing
changes for those before it, for work that asks for something else, and for those urgent enough to stop others.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from helix_ray.core.placement.fleet import Fleet
from helix_ray.core.placement.hold import make_hold
from helix_ray.core.placement.node import Node
from helix_ray.core.placement.rules import Rules
from helix_ray.core.placement.turns import Line
from helix_ray.core.state import ReadyQueue, TaskClass
from helix_ray.core.waits import Hold

# Of all nodes, and of those that could do the same work, so many are held at most, and at least one. A gang may have more
# than that, and then nothing else is held.
HELD_SHARE_MAX = 0.05
HELD_NODES_MAX = 32
SEARCHES_MAX = 3


class Keeper:
    """Keeps held nodes during one plan. `searches` counts looks at many nodes; `in_vain` are classes that got nothing by one."""

    def __init__(
        self, fleet: Fleet, rules: Rules, waiting: Mapping[TaskClass, ReadyQueue], now: float
    ) -> None:
        self.searches = 0
        self.in_vain: list[TaskClass] = []
        self._fleet = fleet
        self._rules = rules
        self._now = now
        self._holds: list[Hold] = []
        # What nodes have free of what is kept on them.
        self._kept: dict[Node, dict[str, float]] = {}
        # Holds whose class was not judged yet in this plan.
        self._before: dict[TaskClass, list[Hold]] = {}
        for hold in rules.holds:
            if hold.group in waiting:
                self._before.setdefault(hold.group, []).append(hold)
        # Somebody was turned away because enough is held: those behind must not take what becomes free.
        self._full = False

    # ------------------------------------------------------------------------------------- what happens in a plan

    def started(self, group: TaskClass, node: Node) -> None:
        """Note that a task begins on a node: it is held for this class no more, and thought over for one that asks for the same."""
        if not self._before:
            return
        asked = {name for name, _ in group.demand}
        for other, holds in self._before.items():
            if not asked.isdisjoint(name for name, _ in other.demand):
                self._before[other] = [
                    hold._replace(until=self._now) if node.id in hold.nodes else hold
                    for hold in holds
                    if other != group or node.id not in hold.nodes
                ]

    def kept_out(self, group: TaskClass, missing: int, *, of_begun_lanes: bool) -> tuple[str, ...]:
        """Return held nodes that have what a class was not given: `missing` lanes together, or room in begun ones."""
        depth = self._fleet.depth(group)
        begun = [node.id for node in self._kept if node.keeps_from(group) and node.rest(group, depth)]
        if begun or of_begun_lanes:
            return tuple(begun)
        lanes = {node.id: self._lanes_behind(node, group) for node in self._kept if node.suits(group)}
        enough = sum(lanes.values()) >= missing
        return tuple(node_id for node_id, count in lanes.items() if count and enough)

    def _lanes_behind(self, node: Node, group: TaskClass) -> int:
        """Return how many lanes there would be if nothing were kept."""
        shown = {name: node.free[name] for name in self._kept[node]}
        node.free.update(self._kept[node])
        lanes = node.free_lanes(group)
        node.free.update(shown)
        return lanes

    def hold_for(self, line: Line, lanes_allowed: int | None) -> None:
        """Go on with the holds for a class that has no room, and begin another where one of its tasks has waited long."""
        before, after_s = self._before.get(line.group, []), self._rules.hold_after_s
        if after_s is None:
            self._before.pop(line.group, None)
            return
        most = 1 if line.group.gang else len(before) + 1
        tasks = line.ahead(most if lanes_allowed is None else min(most, lanes_allowed))
        old = [task_id for task_id, since in tasks if self._now - since >= after_s]
        going_on, more = old[: len(before)], old[len(before) :]
        for task_id in going_on:
            self._go_on(line, before.pop(0)._replace(task_id=task_id))
        self._before.pop(line.group, None)
        for task_id in more:
            self._begin(line, task_id)

    def _go_on(self, line: Line, hold: Hold) -> None:
        nodes = [self._fleet.nodes.get(node_id) for node_id in hold.nodes]
        left = tuple(node.id for node in nodes if node is not None and not node.closed)
        if self._now < hold.until and left == hold.nodes:
            self._keep(hold)
            return
        if self._now >= hold.until and self._full:
            # Its time is over, and others wait for theirs.
            return
        # What is left of it is not given away before there is something better.
        found = (
            self._search(line, hold.task_id)
            if self._may_search(line.group)
            else hold._replace(nodes=left, until=self._now)
        )
        if found is not None and found.nodes:
            self._keep(found)

    def _begin(self, line: Line, task_id: str) -> None:
        if line.group in self._rules.unheld:
            return
        held = self._held()
        most = min(HELD_NODES_MAX, max(1, int(HELD_SHARE_MAX * len(self._fleet.nodes))))
        if len(held) >= most:
            self._full = True
        elif self._may_search(line.group) and (found := self._search(line, task_id)) is not None:
            if held and len(held) + len(found.nodes) > most:
                self._full = True
            else:
                self._keep(found)

    def _held(self) -> set[str]:
        before = {node_id for holds in self._before.values() for hold in holds for node_id in hold.nodes}
        return before | {node.id for node in self._kept}

    def _may_search(self, group: TaskClass) -> bool:
        rules = self._rules
        return (
            rules.may_search and not self._full and self.searches < SEARCHES_MAX and group not in rules.unheld
        )

    def _search(self, line: Line, task_id: str) -> Hold | None:
        self.searches += 1
        group, held = line.group, self._held()
        able = [node for node in self._fleet.open_nodes() if node.could_hold(group) and node.suits(group)]
        free = [node for node in able if node.id not in held]
        found = None
        if group.gang or len(able) - len(free) < max(1, int(HELD_SHARE_MAX * len(able))):
            wanted = line.left if group.gang else 1
            found = make_hold(free, group, task_id, wanted, self._rules.endings, self._now)
        if found is None:
            self.in_vain.append(group)
        return found

    def _keep(self, hold: Hold) -> None:
        self._holds.append(hold)
        names = [name for name, _ in hold.group.demand]
        for node_id in hold.nodes:
            node = self._fleet.nodes[node_id]
            if node not in self._kept:
                self._kept[node] = {name: node.free[name] for name in names if name in node.free}
                self._fleet.keep(node, self._kept[node])

    def give_up(self, node: Node) -> None:
        """Keep nothing on a node any more, as somebody who may stop others takes it; the hold is thought over."""
        if self._kept.pop(node, None) is not None:
            self._holds = [
                hold._replace(until=self._now) if node.id in hold.nodes else hold for hold in self._holds
            ]

    @contextmanager
    def lifted(self) -> Iterator[None]:
        """Keep nothing for a while: for those who may stop others."""
        for node, free in self._kept.items():
            self._fleet.keep_no_more(node, free)
        try:
            yield
        finally:
            for node, free in self._kept.items():
                free.update({name: node.free[name] for name in free})
                self._fleet.keep(node, free)

    def end(self, *, all_judged: bool) -> tuple[Hold, ...]:
        """Keep nothing any more; return the holds from here on. Those not judged yet stay unless that means that they are gone."""
        for node, free in self._kept.items():
            self._fleet.keep_no_more(node, free)
        left = [] if all_judged else [hold for holds in self._before.values() for hold in holds]
        return (*self._holds, *left)
