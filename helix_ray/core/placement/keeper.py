"""Holds in the course of one plan: those of before that are still good, and one more where somebody has waited long."""

from __future__ import annotations

from collections.abc import Mapping

from helix_ray.core.placement.fleet import Fleet
from helix_ray.core.placement.hold import HELD, HELD_SHARE_MAX, make_hold
from helix_ray.core.placement.node import Node
from helix_ray.core.placement.rules import Rules
from helix_ray.core.placement.turns import Line
from helix_ray.core.state import ReadyQueue, TaskClass
from helix_ray.core.waits import Hold


class Keeper:
    """Closes held nodes to those whose turn comes after the task that they are held for, until `end`.

    `sought` says that nodes were looked for, which is done once a plan at most.
    """

    def __init__(
        self, fleet: Fleet, rules: Rules, waiting: Mapping[TaskClass, ReadyQueue], now: float
    ) -> None:
        self.sought = False
        self._fleet = fleet
        self._rules = rules
        self._now = now
        self._nodes_max = max(1, int(HELD_SHARE_MAX * len(fleet.nodes)))
        self._holds: list[Hold] = []
        self._closed: list[Node] = []
        # Those whose turn has not come in this plan.
        self._before: dict[TaskClass, list[Hold]] = {}
        for hold in rules.holds:
            if hold.group in waiting and self._still_good(hold):
                self._before.setdefault(hold.group, []).append(hold)

    def _still_good(self, hold: Hold) -> bool:
        nodes = [self._fleet.nodes.get(node_id) for node_id in hold.nodes]
        return self._now < hold.until and all(node is not None and not node.closed for node in nodes)

    def started(self, group: TaskClass, node: Node) -> None:
        """Note that a task of a class begins on a node: that is held for it no more."""
        if group in self._before:
            self._before[group] = [hold for hold in self._before[group] if node.id not in hold.nodes]

    def keeps_out(self, group: TaskClass, *, of_lanes_only: bool) -> bool:
        """Say whether a held node has what a class was not given: room in a begun lane, or for a further one."""
        depth = self._fleet.depth(group)
        return any(
            node.rest(group, depth) > 0 or (not of_lanes_only and node.suits(group) and node.fits(group))
            for node in self._closed
        )

    def hold_for(self, line: Line) -> None:
        """Go on with the holds for a class that has no room, and begin another where one of its tasks has waited long."""
        holds = self._before.pop(line.group, [])
        tasks = line.ahead(len(holds) + 1)
        # Tasks may have been cancelled; a gang's tasks have one hold together.
        for hold, (task_id, _) in zip(holds, tasks, strict=False):
            self._close(hold._replace(task_id=task_id))
        if len(tasks) <= len(holds) or (line.group.gang and holds):
            return
        task_id, since = tasks[-1]
        after_s = self._rules.hold_after_s
        if after_s is not None and self._now - since >= after_s and not self.sought:
            self._seek(line, task_id)

    def _seek(self, line: Line, task_id: str) -> None:
        held = len(self._closed) + sum(len(hold.nodes) for holds in self._before.values() for hold in holds)
        wanted = line.left if line.group.gang else 1
        if held >= self._nodes_max:
            return
        self.sought = True
        hold = make_hold(self._fleet, line.group, task_id, wanted, self._rules.endings, self._now)
        # A gang may need more than that, and gets it where nothing else is held.
        if hold is not None and (not held or held + len(hold.nodes) <= self._nodes_max):
            self._close(hold)

    def _close(self, hold: Hold) -> None:
        self._holds.append(hold)
        for node_id in hold.nodes:
            node = self._fleet.nodes[node_id]
            node.closed = HELD
            self._fleet.changed(node)
            self._closed.append(node)

    def end(self, *, all_judged: bool) -> tuple[Hold, ...]:
        """Open the nodes again; return the holds from here on. Those whose turn has not come are kept unless all were judged."""
        for node in self._closed:
            node.closed = ""
            self._fleet.changed(node)
        left = [] if all_judged else [hold for holds in self._before.values() for hold in holds]
        return (*self._holds, *left)
