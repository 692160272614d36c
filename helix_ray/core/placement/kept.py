"""The node workers of a state as a fleet that is brought up to date before each look, not made anew.

A look costs what facts and heartbeats have touched since the last one. Its user may try things on the fleet: what the
user changed is either on its way into the state, and looked at again (`doubt`), or undone by the next `untouched`.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable

from helix_ray.core.liveness import Liveness
from helix_ray.core.placement.fit import QUARANTINED, external_usage_of, node_of, unschedulable_why
from helix_ray.core.placement.fleet import Fleet, Mark
from helix_ray.core.placement.node import Node, prefetch_by
from helix_ray.core.state import State, TaskClass, Worker

# Depths of classes that neither wait nor run any more.
PREFETCHES_MAX = 10_000


class TrackedFleet:
    """Follows one state at a time; another one is followed from its start."""

    def __init__(self) -> None:
        self._follow(None)

    def _follow(self, state: State | None) -> None:
        self._state = state
        self._prefetches: dict[TaskClass, int] = {}
        self._fleet = Fleet((), self.prefetch)
        # The workers that the fleet's nodes are of: one that registers again is another.
        self._seen: dict[str, Worker] = {}
        # Up to where the changes of state and liveness are in the fleet.
        self._state_seen: int | None = None
        self._liveness_seen = 0
        # Nodes that were there when it began to follow, and were not looked at yet.
        self._coming: deque[str] = deque()
        self._invalid: set[str] = set()
        # Nodes that are used again after a while, although nothing is told of them.
        self._quarantined: set[str] = set()
        self._mark: Mark | None = None

    def prefetch(self, task_class: TaskClass) -> int:
        """Return how many tasks of a class one lane may hold."""
        known = self._prefetches.get(task_class)
        return self._prefetch_now(task_class) if known is None else known

    def _prefetch_now(self, task_class: TaskClass) -> int:
        return 1 if self._state is None else prefetch_by(self._state.durations, task_class)

    def invalidate(self, node_ids: Iterable[str]) -> None:
        """Look at nodes again next time: what was done to them may not come true."""
        self._invalid.update(node_ids)

    def refreshed(self, state: State, liveness: Liveness, now: float, new_max: int | None = None) -> Fleet:
        """Return the nodes that are not lost, as they are now (epoch seconds).

        With `new_max` the first look is made in steps of so many nodes: it is not `whole` before the last.
        """
        if state is not self._state:
            self._follow(state)
        self._update_prefetches(state)
        for worker_id in self._dirty(state, liveness, new_max):
            worker = state.workers.get(worker_id)
            if worker is None or worker.lost:
                self._forget(worker_id)
            elif worker.kind == "node":
                self._look_at(worker, liveness, now)
        self._quarantined = {node_id for node_id in self._quarantined if self._is_quarantined(node_id)}
        return self._fleet

    def pristine(self, state: State, liveness: Liveness, now: float) -> Fleet:
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
            node.unschedulable, node.turn = unschedulable_why(worker, now), worker.turn
            self._fleet.reload(node, worker.load)

    @property
    def whole(self) -> bool:
        """Say whether every node was looked at since the start."""
        return not self._coming

    def _dirty(self, state: State, liveness: Liveness, new_max: int | None) -> Iterable[str]:
        """Return whom to look at again, those of longest ago first."""
        if self._state_seen is None:
            self._coming, told, heard = deque(state.workers), [], []
        else:
            told, heard = state.dirty.since(self._state_seen), liveness.dirty.since(self._liveness_seen)
        steps = len(self._coming) if new_max is None else min(new_max, len(self._coming))
        come = [self._coming.popleft() for _ in range(steps)]
        dirty = [*come, *reversed(told), *reversed(heard)]
        again = sorted(self._invalid | self._quarantined)
        self._state_seen, self._liveness_seen = state.dirty.count, liveness.dirty.count
        self._invalid.clear()
        return dict.fromkeys((*dirty, *again))

    def _is_quarantined(self, node_id: str) -> bool:
        node = self._fleet.nodes.get(node_id)
        return node is not None and node.unschedulable == QUARANTINED

    def _forget(self, worker_id: str) -> None:
        self._seen.pop(worker_id, None)
        self._fleet.remove(worker_id)

    def _look_at(self, worker: Worker, liveness: Liveness, now: float) -> None:
        unschedulable, pulse = unschedulable_why(worker, now), liveness.pulses.get(worker.id)
        if unschedulable == QUARANTINED:
            self._quarantined.add(worker.id)
        if self._seen.get(worker.id) is not worker:
            self._seen[worker.id] = worker
            self._fleet.add(node_of(worker, pulse, unschedulable))
            return
        node, external_usage = self._fleet.nodes[worker.id], external_usage_of(pulse)
        if node.load != worker.load:
            self._fleet.reload(node, worker.load)
        if (node.unschedulable, node.external_usage) != (unschedulable, external_usage):
            node.unschedulable, node.external_usage = unschedulable, external_usage
            self._fleet.changed(node)

    def _update_prefetches(self, state: State) -> None:
        """Follow the durations, but not every small move: a change of depth is a change of every node that runs it."""
        moved: set[TaskClass] = set()
        for task_class in {*state.ready, *self._fleet.slots}:
            wanted, known = self._prefetch_now(task_class), self._prefetches.get(task_class, 0)
            if wanted >= 2 * known or 2 * wanted <= known:
                self._prefetches[task_class] = wanted
                moved.add(task_class)
        if moved:
            self._fleet.reclass(moved)
        if len(self._prefetches) > PREFETCHES_MAX:
            self._prefetches = {
                task_class: self._prefetches[task_class]
                for task_class in self._fleet.slots
                if task_class in self._prefetches
            }
