"""Watches the figures of nodes, and orders that a threshold was crossed: once for each crossing."""

from __future__ import annotations

from helix_ray.core.orders import CrossThreshold, OrderBody
from helix_ray.core.policy import Policy
from helix_ray.core.state import Worker
from helix_ray.core.thresholds import (
    FigureStanding,
    Threshold,
    level_of,
    limit_of,
    named,
    standing_at,
    value_of,
)
from helix_ray.followers.base import News

LOOK_EVERY_S = 1.0
# A sample that is older says nothing of now.
SAMPLE_S_MAX = 10.0


class ThresholdKeeper:
    """Compares the newest sample of every node with the thresholds. Times are in memory: after a restart of
    the master they start over, while levels are in the journal."""

    busy = False

    def __init__(self, policy: Policy) -> None:
        self._thresholds = policy.thresholds
        self._named = named(self._thresholds)
        self._next = 0.0
        self._standings: dict[tuple[str, str], FigureStanding] = {}

    def react(self, news: News) -> list[OrderBody]:
        """Return an order for each figure that has crossed a limit, of one node of each host."""
        if news.mono < self._next:
            return []
        self._next = news.mono + LOOK_EVERY_S
        orders: list[OrderBody] = []
        standings: dict[tuple[str, str], FigureStanding] = {}
        for worker in _speakers(news):
            orders += self._no_threshold(worker)
            for threshold in self._thresholds:
                standing, order = self._look(news, worker, threshold)
                standings[worker.id, threshold.figure] = standing
                if order is not None:
                    orders.append(order)
        self._standings = standings
        return orders

    def _look(
        self, news: News, worker: Worker, threshold: Threshold
    ) -> tuple[FigureStanding, CrossThreshold | None]:
        before = level_of(worker.over.get(threshold.figure, "ok"))
        known = self._standings.get((worker.id, threshold.figure))
        if known is None or known.level != before:
            # The master has restarted, or an order was refused.
            known = standing_at(before)
        pulse = news.liveness.pulses.get(worker.id)
        is_new = pulse is not None and news.mono - pulse.mono <= SAMPLE_S_MAX
        value = (
            value_of(threshold.figure, pulse.usage.get("host", {})) if pulse is not None and is_new else None
        )
        standing = known.saw(value, threshold, news.mono)
        if standing.level == before:
            return standing, None
        limit = limit_of(standing.level, before, threshold)
        return standing, CrossThreshold(
            worker.id, threshold.figure, standing.level, value, limit, threshold.for_s
        )

    def _no_threshold(self, worker: Worker) -> list[OrderBody]:
        """Return orders for figures that are over a limit that was taken out of the settings."""
        return [
            CrossThreshold(worker.id, figure, "ok", None, None, 0.0)
            for figure in worker.over
            if figure not in self._named
        ]


def _speakers(news: News) -> list[Worker]:
    """Return one living node of each host: all nodes of a host say the same of it."""
    found: dict[str, Worker] = {}
    for worker in news.state.workers.values():
        if worker.kind == "node" and not worker.lost:
            found.setdefault(worker.hostname, worker)
    return list(found.values())
