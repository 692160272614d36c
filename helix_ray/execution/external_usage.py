"""The external usage of a node: Ray's count minus our own, without short disagreements of the two.

An executor counts as ours from its request to its release; Ray's count follows a little later. Apparent
external usage because of that disappears within STABLE_S, so only usage that lasts longer counts.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping

STABLE_S = 3.0
# Figures older than this are unknown.
STALE_S = 15.0
# Ray counts in ten-thousandths, and memory is rounded to MiB.
AMOUNT_MIN = {"memory_mb": 2.0}
AMOUNT_MIN_OTHERWISE = 0.001


class ExternalUsage:
    """Samples of one node with the given total."""

    def __init__(self, total: Mapping[str, float]) -> None:
        self._total = dict(total)
        self._samples: deque[tuple[float, dict[str, float]]] = deque()

    def sample(
        self, free: Mapping[str, float], own: Iterable[Iterable[tuple[str, float]]], now: float
    ) -> None:
        """Record what Ray has free, and the demands of our executors, running or requested."""
        used = {name: amount - free.get(name, 0.0) for name, amount in self._total.items()}
        for demand in own:
            for name, amount in demand:
                used[name] = used.get(name, 0.0) - amount
        self._samples.append((now, {name: amount for name, amount in used.items() if _counts(name, amount)}))
        while len(self._samples) > 1 and now - self._samples[1][0] >= STABLE_S:
            self._samples.popleft()

    def amounts(self, now: float) -> dict[str, float] | None:
        """Return the external usage, only amounts above zero; None where it is unknown."""
        if not self._samples or now - self._samples[-1][0] > STALE_S:
            return None
        if self._samples[-1][0] - self._samples[0][0] < STABLE_S:
            return {}
        names = set.intersection(*(set(amounts) for _, amounts in self._samples))
        return {name: round(min(a[name] for _, a in self._samples), 4) for name in sorted(names)}


def _counts(name: str, amount: float) -> bool:
    return amount >= AMOUNT_MIN.get(name, AMOUNT_MIN_OTHERWISE)
