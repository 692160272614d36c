"""Propagates endings to dependent tasks, losses to a worker's tasks, and priorities to what tasks wait for,
where one order cannot cover all of them."""

from __future__ import annotations

from helix_ray.core.orders import OrderBody, SpreadEndings
from helix_ray.core.policy import Policy
from helix_ray.followers.base import News


class Cascade:
    """Propagates them in several orders, each with a commit of its own, until none is left."""

    busy = False

    def __init__(self, policy: Policy) -> None:
        self._tasks_max = policy.spread_tasks_max

    def react(self, news: News) -> list[OrderBody]:
        """Return an order while something is left."""
        state = news.state
        left = state.orphans or state.freed or state.doomed or state.dirty_levels
        return [SpreadEndings(self._tasks_max)] if left else []
