"""Gives pending tasks to node workers: facts in, StartAttempts out.

It keeps a Fleet (core/placement/fleet.py) beside the state and brings it up to date before each plan: nodes that facts
or heartbeats have touched since, and how deep lanes are. A plan is only a proposal: what decide refuses as stale is put
right in the fleet at the next look.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from helix_ray.core.orders import OrderBody, StartAttempts
from helix_ray.core.placement import Fleet, Held, Rules, place
from helix_ray.core.placement.fit import RESTING, closed_why, foreign_of, node_of
from helix_ray.core.placement.node import depth_for
from helix_ray.core.placement.preempt import preemptible
from helix_ray.core.policy import Policy
from helix_ray.core.state import EXTERNAL, LEVELS, SHARDED, State, TaskClass, Worker
from helix_ray.followers.base import News

ASSIGN_TASKS_MAX = 1000
# Depths of classes that neither wait nor run any more.
DEPTHS_MAX = 10_000
_NOT_FOR_NODES = (EXTERNAL, SHARDED)


class Scheduler:
    """Places what is ready, as often as there is news."""

    name = "scheduler"

    def __init__(self, policy: Policy) -> None:
        self._policy = policy
        self._preempt_level = LEVELS.get(policy.preempt_from)
        self._depths: dict[TaskClass, int] = {}
        self._fleet = Fleet((), self.depth)
        # The workers that the fleet's nodes are of: one that registers again is another.
        self._seen: dict[str, Worker] = {}
        # Up to where the changes of state and liveness are in the fleet.
        self._told = self._heard = 0
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
        for worker_id in self._touched(news):
            worker = news.state.workers.get(worker_id)
            if worker is not None and worker.kind == "node":
                self._look_at(worker, news)
        self._resting = {node_id for node_id in self._resting if self._is_resting(node_id)}

    def _touched(self, news: News) -> Iterable[str]:
        """Return whom the fleet has to look at again, those of longest ago first."""
        told, heard = news.state.touched, news.liveness.touched
        touched = [*reversed(told.since(self._told)), *reversed(heard.since(self._heard))]
        again = sorted(self._given | self._resting)
        self._told, self._heard = told.count, heard.count
        self._given.clear()
        return dict.fromkeys((*touched, *again))

    def _is_resting(self, node_id: str) -> bool:
        node = self._fleet.nodes.get(node_id)
        return node is not None and node.closed == RESTING

    def _look_at(self, worker: Worker, news: News) -> None:
        if worker.lost:
            self._seen.pop(worker.id, None)
            self._fleet.remove(worker.id)
            return
        closed, pulse = closed_why(worker, news.now), news.liveness.pulses.get(worker.id)
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
