"""Gives pending tasks to node workers: facts in, StartAttempts out.

It keeps a fleet beside the state (core/placement/kept.py). A plan is only a proposal: what decide refuses as stale is put
right in the fleet at the next look.
"""

from __future__ import annotations

from collections.abc import Sequence

from helix_ray.core.orders import OrderBody, StartAttempts
from helix_ray.core.placement import Fleet, Held, Rules, place
from helix_ray.core.placement.estimate import endings
from helix_ray.core.placement.kept import KeptFleet
from helix_ray.core.placement.preempt import preemptible
from helix_ray.core.policy import Policy
from helix_ray.core.state import EXTERNAL, LEVELS, SHARDED
from helix_ray.followers.base import News

ASSIGN_TASKS_MAX = 1000
# Nodes to hold are looked for at most so often.
HOLD_EVERY_S = 1.0
_NOT_FOR_NODES = (EXTERNAL, SHARDED)


class Scheduler:
    """Places what is ready, as often as there is news."""

    name = "scheduler"

    def __init__(self, policy: Policy) -> None:
        self._policy = policy
        self._preempt_level = LEVELS.get(policy.preempt_from)
        self._kept = KeptFleet()
        self._hold_again_at = 0.0

    def react(self, news: News) -> list[OrderBody]:
        """Place what fits now."""
        ready = news.state.ready
        if not any(group.kind not in _NOT_FOR_NODES for group in ready):
            news.liveness.holds = ()
            return []
        fleet = self._kept.refreshed(news.state, news.liveness, news.now)
        plan = place(fleet, ready, self._rules(news, fleet), news.now, ASSIGN_TASKS_MAX)
        news.liveness.waits.note(plan.blocked, news.now)
        news.liveness.holds = plan.holds
        if plan.sought_hold:
            self._hold_again_at = news.now + HOLD_EVERY_S
        if not plan.pairs:
            return []
        # Decide may leave some of it out.
        self._kept.doubt(node_id for _, node_id in plan.pairs)
        return [StartAttempts(tuple(plan.pairs), tuple(plan.preempted))]

    def _rules(self, news: News, fleet: Fleet) -> Rules:
        policy, state, now = self._policy, news.state, news.now
        may_hold = policy.hold_after_s > 0 and now >= self._hold_again_at

        def held(node_id: str) -> Sequence[Held]:
            return tuple(preemptible(state, node_id, self._kept.depth, policy.preemptions_max))

        return Rules(
            policy.priority_aging_s,
            policy.strategy,
            state.quotas,
            self._preempt_level,
            held,
            news.liveness.holds,
            policy.hold_after_s if may_hold else None,
            lambda node_id: [*endings(state, node_id, fleet.depth, now)],
        )
