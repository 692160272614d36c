"""The node workers of a state as a fleet that is brought up to date before each use, not rebuilt.

An update costs as much as facts and heartbeats have changed since the last one. The caller may change the
fleet on trial: what it changed either becomes part of the state and is recomputed (`invalidate`), or is
undone by the next `pristine`.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable

from helix_ray.core.liveness import Liveness
from helix_ray.core.placement.fit import QUARANTINED, external_usage_of, node_of, unschedulable_why
from helix_ray.core.placement.fleet import Fleet, Mark
from helix_ray.core.placement.node import Node, prefetch_by
from helix_ray.core.state import State, TaskClass, Worker

# Prefetches in memory; beyond this, those of classes that do not run are dropped.
PREFETCHES_MAX = 10_000


class TrackedFleet:
    """Follows one state at a time; a different state object is followed from its start."""

    def __init__(self) -> None:
        self._follow(None)

    def _follow(self, state: State | None) -> None:
        self._state = state
        self._prefetches: dict[TaskClass, int] = {}
        self._fleet = Fleet((), self.prefetch)
        # The worker object behind each node of the fleet: a worker that registers again
        # is a different object.
        self._seen: dict[str, Worker] = {}
        # How many changes of the state and of liveness the fleet already reflects.
        self._state_seen: int | None = None
        self._liveness_seen = 0
        # Nodes that existed at the start and have not been read yet.
        self._coming: deque[str] = deque()
        self._invalid: set[str] = set()
        # Nodes whose quarantine ends with time, without any fact or heartbeat: they are
        # recomputed in every update.
        self._quarantined: set[str] = set()
        self._mark: Mark | None = None

    def prefetch(self, task_class: TaskClass) -> int:
        """Return the prefetch of a class."""
        known = self._prefetches.get(task_class)
        return self._prefetch_now(task_class) if known is None else known

    def _prefetch_now(self, task_class: TaskClass) -> int:
        return 1 if self._state is None else prefetch_by(self._state.durations, task_class)

    def invalidate(self, node_ids: Iterable[str]) -> None:
        """Recompute these nodes in the next update: what the caller changed on them may not be committed."""
        self._invalid.update(node_ids)

    def refreshed(self, state: State, liveness: Liveness, now: float, new_max: int | None = None) -> Fleet:
        """Return the nodes that are not lost, as they are now (epoch seconds).

        With `new_max` the first update is made in steps of so many nodes: the fleet is not
        `whole` before the last one.
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
        """Return the nodes as they are now, without what the last caller has changed."""
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
        """Say whether every node has been read since the start."""
        return not self._coming

    def _dirty(self, state: State, liveness: Liveness, new_max: int | None) -> Iterable[str]:
        """Return the workers to recompute, those that changed first at the front."""
        if self._state_seen is None:
            self._coming, changed, heard = deque(state.workers), [], []
        else:
            changed, heard = state.dirty.since(self._state_seen), liveness.dirty.since(self._liveness_seen)
        steps = len(self._coming) if new_max is None else min(new_max, len(self._coming))
        come = [self._coming.popleft() for _ in range(steps)]
        dirty = [*come, *reversed(changed), *reversed(heard)]
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
        """Follow the measured durations, but only when a prefetch doubles or halves: every change recomputes
        all nodes of the class."""
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
