"""Gives pending tasks to node workers: facts in, StartAttempts out.

It keeps a Fleet (core/placement/fleet.py) beside the state and brings it up to date before each plan: nodes whose
`version` has moved, what others use, and how deep lanes are. A plan is only a proposal: what decide refuses as stale
is put right in the fleet at the next look.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from helix_ray.core.liveness import Pulse
from helix_ray.core.orders import OrderBody, StartAttempts
from helix_ray.core.placement import Fleet, Held, Rules, place
from helix_ray.core.placement.fit import RESTING, closed_why, foreign_of, node_of, rests_until
from helix_ray.core.placement.node import depth_for
from helix_ray.core.placement.preempt import preemptible
from helix_ray.core.policy import Policy
from helix_ray.core.state import EXTERNAL, LEVELS, SHARDED, State, TaskClass, Worker
from helix_ray.followers.base import News

ASSIGN_TASKS_MAX = 1000
# Depths of classes that neither wait nor run any more.
DEPTHS_MAX = 10_000
_NOT_FOR_NODES = (EXTERNAL, SHARDED)


@dataclass(slots=True)
class _Seen:
    """What the fleet was last told of a worker."""

    worker: Worker
    version: int
    pulse: Pulse | None


class Scheduler:
    """Places what is ready, as often as there is news."""

    name = "scheduler"

    def __init__(self, policy: Policy) -> None:
        self._policy = policy
        self._preempt_level = LEVELS.get(policy.preempt_from)
        self._depths: dict[TaskClass, int] = {}
        self._fleet = Fleet((), self.depth)
        self._seen: dict[str, _Seen] = {}
        # Nodes that the last plan gave something: decide may have left some of it out.
        self._given: set[str] = set()
        # Nodes that are used again after a while, although nothing is told of them.
        self._resting: set[str] = set()

    def react(self, news: News) -> list[OrderBody]:
        """Place what fits now."""
        ready = news.state.ready
        if not any(group.kind not in _NOT_FOR_NODES for group in ready):
            return []
        self._refresh(news)
        plan = place(self._fleet, ready, self._rules(news.state), news.now, ASSIGN_TASKS_MAX)
        news.liveness.waits.note(plan.blocked, news.now)
        if not plan.pairs:
            return []
        self._given.update(node_id for _, node_id in plan.pairs)
        return [StartAttempts(tuple(plan.pairs), tuple(plan.preempted))]

    def depth(self, group: TaskClass) -> int:
        """Return how many tasks of a class one lane may hold."""
        return self._depths.get(group, 1)

    def _rules(self, state: State) -> Rules:
        policy = self._policy

        def held(node_id: str) -> Sequence[Held]:
            return tuple(preemptible(state, node_id, self.depth, policy.preemptions_max))

        return Rules(policy.priority_aging_s, policy.strategy, state.quotas, self._preempt_level, held)

    # ------------------------------------------------------------------------------------- the fleet

    def _refresh(self, news: News) -> None:
        self._deepen(news.state)
        workers, pulses = news.state.workers, news.liveness.pulses
        again = self._given | self._resting
        known = 0
        for worker_id, worker in workers.items():
            # Most are as they were: on a large cluster this comparison is what a look costs.
            seen = self._seen.get(worker_id)
            known += seen is not None
            if (
                seen is None
                or seen.version != worker.version
                or seen.worker is not worker
                or seen.pulse is not pulses.get(worker_id)
                or worker_id in again
            ) and worker.kind == "node":
                self._look_at(worker, news)
        if known < len(self._seen):
            for worker_id in [worker_id for worker_id in self._seen if worker_id not in workers]:
                del self._seen[worker_id]
                self._fleet.remove(worker_id)
        self._given.clear()
        self._resting = {node_id for node_id in self._resting if self._is_resting(node_id)}

    def _is_resting(self, node_id: str) -> bool:
        node = self._fleet.nodes.get(node_id)
        return node is not None and node.closed == RESTING

    def _look_at(self, worker: Worker, news: News) -> None:
        seen, pulse = self._seen.get(worker.id), news.liveness.pulses.get(worker.id)
        if seen is None or seen.worker is not worker:
            self._seen[worker.id] = _Seen(worker, worker.version, pulse)
            if not worker.lost:
                closed = closed_why(worker, news.now)
                self._fleet.add(node_of(worker, pulse, closed))
                if closed == RESTING:
                    self._resting.add(worker.id)
            return
        if worker.lost:
            # Should it come back, it registers, and is another Worker then.
            self._fleet.remove(worker.id)
            return
        node = self._fleet.nodes[worker.id]
        if node.closed == RESTING and news.now >= rests_until(worker):
            node.closed = ""
            self._fleet.changed(node)
        if seen.version != worker.version or worker.id in self._given:
            seen.version = worker.version
            closed = closed_why(worker, news.now)
            if node.load != worker.load:
                self._fleet.reload(node, worker.load)
            if node.closed != closed:
                node.closed = closed
                self._fleet.changed(node)
            if closed == RESTING:
                self._resting.add(worker.id)
        if seen.pulse is not pulse:
            seen.pulse = pulse
            foreign = foreign_of(pulse)
            if foreign != node.foreign:
                node.foreign = foreign
                self._fleet.changed(node)

    def _deepen(self, state: State) -> None:
        """Follow the durations, but not every small move: a change of depth is a change of every node that runs it."""
        moved: set[TaskClass] = set()
        for group in {*state.ready, *self._fleet.lanes}:
            wanted = depth_for(group.kind, state.durations.average_s(group[:3]))
            known = self._depths.get(group, 1)
            if wanted >= 2 * known or 2 * wanted <= known:
                self._depths[group] = wanted
                moved.add(group)
        if moved:
            self._fleet.regroup(moved)
        if len(self._depths) > DEPTHS_MAX:
            self._depths = {
                group: self._depths[group] for group in self._fleet.lanes if group in self._depths
            }
