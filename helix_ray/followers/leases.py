"""Ends the leases of silent workers."""

from __future__ import annotations

from helix_ray.core.orders import LoseWorker, OrderBody
from helix_ray.core.policy import Policy
from helix_ray.followers.base import News

JUDGE_EVERY_S = 0.5


class LeaseKeeper:
    """Finds workers without a heartbeat for a whole lease, which is shorter for node
    workers than for external ones."""

    busy = False

    def __init__(self, policy: Policy) -> None:
        self._policy = policy
        self._next = 0.0

    def react(self, news: News) -> list[OrderBody]:
        """Return a LoseWorker for every silent worker, twice a second; at once again while one has too
        many tasks for one order."""
        if news.mono < self._next:
            return []
        self._next = news.mono + JUDGE_EVERY_S
        leases = {
            worker.id: self._policy.node_lease_s if worker.kind == "node" else self._policy.lease_s
            for worker in news.state.workers.values()
            if not worker.lost
        }
        orders: list[OrderBody] = []
        room = self._policy.spread_tasks_max
        for worker_id in news.liveness.judge(leases, news.mono):
            if room <= 0:
                # There are more: continue as soon as these are processed.
                self._next = news.mono
                break
            room -= 1 + len(news.state.workers[worker_id].running)
            orders.append(LoseWorker(worker_id, f"no heartbeat for {leases[worker_id]:g} s"))
        return orders
