"""The node workers of a state as a fleet that is brought up to date before each look, not made anew.

A look costs what facts and heartbeats have touched since the last one. Its user may try things on the fleet: what the
user changed is either on its way into the state, and looked at again (`doubt`), or undone by the next `untouched`.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable

from helix_ray.core.liveness import Liveness
from helix_ray.core.placement.fit import RESTING, closed_why, foreign_of, node_of
from helix_ray.core.placement.fleet import Fleet, Mark
from helix_ray.core.placement.node import Node, depth_by
from helix_ray.core.state import State, TaskClass, Worker

# Depths of classes that neither wait nor run any more.
DEPTHS_MAX = 10_000


class KeptFleet:
    """Follows one state at a time; another one is followed from its start."""

    def __init__(self) -> None:
        self._follow(None)

    def _follow(self, state: State | None) -> None:
        self._state = state
        self._depths: dict[TaskClass, int] = {}
        self._fleet = Fleet((), self.depth)
        # The workers that the fleet's nodes are of: one that registers again is another.
        self._seen: dict[str, Worker] = {}
        # Up to where the changes of state and liveness are in the fleet.
        self._told: int | None = None
        self._heard = 0
        # Nodes that were there when it began to follow, and were not looked at yet.
        self._coming: deque[str] = deque()
        self._doubted: set[str] = set()
        # Nodes that are used again after a while, although nothing is told of them.
        self._resting: set[str] = set()
        self._mark: Mark | None = None

    def depth(self, group: TaskClass) -> int:
        """Return how many tasks of a class one lane may hold."""
        known = self._depths.get(group)
        return self._depth_now(group) if known is None else known

    def _depth_now(self, group: TaskClass) -> int:
        return 1 if self._state is None else depth_by(self._state.durations, group)

    def doubt(self, node_ids: Iterable[str]) -> None:
        """Look at nodes again next time: what was done to them may not come true."""
        self._doubted.update(node_ids)

    def refreshed(self, state: State, liveness: Liveness, now: float, new_max: int | None = None) -> Fleet:
        """Return the nodes that are not lost, as they are now (epoch seconds).

        With `new_max` the first look is made in steps of so many nodes: it is not `whole` before the last.
        """
        if state is not self._state:
            self._follow(state)
        self._deepen(state)
        for worker_id in self._touched(state, liveness, new_max):
            worker = state.workers.get(worker_id)
            if worker is None or worker.lost:
                self._forget(worker_id)
            elif worker.kind == "node":
                self._look_at(worker, liveness, now)
        self._resting = {node_id for node_id in self._resting if self._is_resting(node_id)}
        return self._fleet

    def untouched(self, state: State, liveness: Liveness, now: float) -> Fleet:
        """Return the nodes as they are now, without what the last user has changed."""
        if self._mark is not None and state is self._state:
            for node in self._fleet.changed_since(self._mark):
                self._restore(node, state, now)
        fleet = self.refreshed(state, liveness, now)
        fleet.seek(state.ready)
        self._mark = fleet.mark()
        return fleet

    def _restore(self, node: Node, state: State, now: float) -> None:
        worker = state.workers.get(node.id)
        if worker is not None and self._fleet.nodes.get(node.id) is node:
            node.closed, node.turn = closed_why(worker, now), worker.turn
            self._fleet.reload(node, worker.load)

    @property
    def whole(self) -> bool:
        """Say whether every node was looked at since the start."""
        return not self._coming

    def _touched(self, state: State, liveness: Liveness, new_max: int | None) -> Iterable[str]:
        """Return whom to look at again, those of longest ago first."""
        if self._told is None:
            self._coming, told, heard = deque(state.workers), [], []
        else:
            told, heard = state.touched.since(self._told), liveness.touched.since(self._heard)
        steps = len(self._coming) if new_max is None else min(new_max, len(self._coming))
        come = [self._coming.popleft() for _ in range(steps)]
        touched = [*come, *reversed(told), *reversed(heard)]
        again = sorted(self._doubted | self._resting)
        self._told, self._heard = state.touched.count, liveness.touched.count
        self._doubted.clear()
        return dict.fromkeys((*touched, *again))

    def _is_resting(self, node_id: str) -> bool:
        node = self._fleet.nodes.get(node_id)
        return node is not None and node.closed == RESTING

    def _forget(self, worker_id: str) -> None:
        self._seen.pop(worker_id, None)
        self._fleet.remove(worker_id)

    def _look_at(self, worker: Worker, liveness: Liveness, now: float) -> None:
        closed, pulse = closed_why(worker, now), liveness.pulses.get(worker.id)
        if closed == RESTING:
            self._resting.add(worker.id)
        if self._seen.get(worker.id) is not worker:
            self._seen[worker.id] = worker
            self._fleet.add(node_of(worker, pulse, closed))
            return
        node, foreign = self._fleet.nodes[worker.id], foreign_of(pulse)
        if node.load != worker.load:
            self._fleet.reload(node, worker.load)
        if (node.closed, node.foreign) != (closed, foreign):
            node.closed, node.foreign = closed, foreign
            self._fleet.changed(node)

    def _deepen(self, state: State) -> None:
        """Follow the durations, but not every small move: a change of depth is a change of every node that runs it."""
        moved: set[TaskClass] = set()
        for group in {*state.ready, *self._fleet.lanes}:
            wanted, known = self._depth_now(group), self._depths.get(group, 0)
            if wanted >= 2 * known or 2 * wanted <= known:
                self._depths[group] = wanted
                moved.add(group)
        if moved:
            self._fleet.regroup(moved)
        if len(self._depths) > DEPTHS_MAX:
            self._depths = {
                group: self._depths[group] for group in self._fleet.lanes if group in self._depths
            }
