"""Assigns pending tasks to node workers: facts in, StartAttempts out.

It keeps a fleet beside the state (core/placement/tracked.py). A plan is only a proposal: if decide refuses a
pair as stale, the next update corrects the fleet.
"""

from __future__ import annotations

from collections.abc import Sequence

from helix_ray.core.orders import OrderBody, StartAttempts
from helix_ray.core.placement import Fleet, Plan, Rules, RunningAttempt, place
from helix_ray.core.placement.estimate import endings
from helix_ray.core.placement.preempt import preemptible
from helix_ray.core.placement.tracked import TrackedFleet
from helix_ray.core.policy import Policy
from helix_ray.core.specs import LEVELS
from helix_ray.core.state import EXTERNAL, SHARDED, TaskClass
from helix_ray.followers.base import News

# Tasks of one plan. The master's loop is blocked meanwhile: about 15 ms to plan and commit, twice that with
# cold queues.
ASSIGN_TASKS_MAX = 500
# New nodes that are added to the fleet in one reaction, as after a start: about 15 ms.
NEW_NODES_MAX = 2500
# Seconds between searches for nodes to reserve, and between searches for the same class after a failed one.
SEARCH_EVERY_S = 1.0
IN_VAIN_S = 10.0
_NOT_FOR_NODES = (EXTERNAL, SHARDED)


class Scheduler:
    """Places ready tasks whenever there is news."""

    busy = False

    def __init__(self, policy: Policy) -> None:
        self._policy = policy
        self._preempt_level = LEVELS.get(policy.preempt_from)
        self._tracked = TrackedFleet()
        self._search_at = 0.0
        # Task classes for which no node could be reserved, and until when that is not tried again.
        self._unreservable: dict[TaskClass, float] = {}

    def react(self, news: News) -> list[OrderBody]:
        """Return orders that place the tasks that fit now."""
        ready = news.state.ready
        self.busy = False
        if not any(task_class.kind not in _NOT_FOR_NODES for task_class in ready):
            news.liveness.reservations, news.liveness.kept_out = (), {}
            return []
        fleet = self._tracked.refreshed(news.state, news.liveness, news.now, NEW_NODES_MAX)
        self.busy = not self._tracked.whole
        if self.busy:
            # With only some of the nodes, tasks would be preempted and nodes reserved although
            # there is capacity elsewhere.
            return []
        plan = place(fleet, ready, self._rules(news, fleet), news.now, ASSIGN_TASKS_MAX)
        news.liveness.waits.note(plan.blocked, news.now)
        self._note_reservations(plan, news)
        if not plan.pairs:
            return []
        # decide may refuse some of the pairs.
        self._tracked.invalidate(node_id for _, node_id in plan.pairs)
        return [StartAttempts(tuple(plan.pairs), tuple(plan.preempted))]

    def _note_reservations(self, plan: Plan, news: News) -> None:
        now = news.now
        news.liveness.reservations, news.liveness.kept_out = plan.reservations, plan.kept_out
        if plan.searched:
            self._search_at = now + SEARCH_EVERY_S
            self._unreservable.update(dict.fromkeys(plan.in_vain, now + IN_VAIN_S))

    def _rules(self, news: News, fleet: Fleet) -> Rules:
        policy, state, now = self._policy, news.state, news.now
        self._unreservable = {
            task_class: until for task_class, until in self._unreservable.items() if now < until
        }

        def running(node_id: str) -> Sequence[RunningAttempt]:
            return tuple(preemptible(state, node_id, self._tracked.prefetch, policy.preemptions_max))

        return Rules(
            aging_s=policy.priority_aging_s,
            strategy=policy.strategy,
            quotas=state.quotas,
            preempt_level=self._preempt_level,
            running=running,
            reservations=news.liveness.reservations,
            reserve_after_s=policy.reserve_after_s or None,
            may_search=now >= self._search_at,
            unreservable=self._unreservable,
            endings=lambda node_id: [*endings(state, node_id, fleet.prefetch, now)],
        )
