"""Measured durations of attempts by kind of work, folded from facts, so they survive a restart.

A kind is a run with its demand: the first three fields of a TaskClass. The project and the constraints do not
change how long it takes.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

KINDS_MAX = 2_000
RECENT_MAX = 32
RECENT_MIN = 8
WEIGHT = 0.2
# A run this much longer than the average raises it at once: too much prefetch is worse than too little.
JUMP = 4.0

Kind = tuple[str, str, tuple[tuple[str, float], ...]]


def moved(average_s: float | None, duration_s: float) -> float:
    """Return a moving average after one more duration."""
    if average_s is None or duration_s > JUMP * average_s:
        return duration_s
    return average_s + WEIGHT * (duration_s - average_s)


@dataclass(slots=True)
class Measured:
    """The durations of one kind: how many ended, a moving average, and the newest durations, in seconds."""

    ended: int = 0
    average_s: float | None = None
    recent: deque[float] = field(default_factory=lambda: deque(maxlen=RECENT_MAX))

    def quantile(self, share: float) -> float | None:
        """Return a quantile (0 to 1) of the newest durations; None when there are none."""
        if not self.recent:
            return None
        ordered = sorted(self.recent)
        return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


class Durations:
    """The kinds that ended recently, the least recent first."""

    def __init__(self) -> None:
        self._kinds: OrderedDict[Kind, Measured] = OrderedDict()

    def note(self, kind: Kind, duration_s: float) -> None:
        """Record the duration of an attempt."""
        known = self._known(kind)
        known.ended += 1
        known.average_s = moved(known.average_s, duration_s)
        known.recent.append(duration_s)

    def outlasted(self, kind: Kind, ran_s: float) -> None:
        """Record that an attempt has run this long without ending: the average is at least as long."""
        known = self._known(kind)
        known.average_s = max(ran_s, known.average_s or 0.0)

    def _known(self, kind: Kind) -> Measured:
        known = self._kinds.get(kind)
        if known is None:
            known = self._kinds[kind] = Measured()
            if len(self._kinds) > KINDS_MAX:
                self._kinds.popitem(last=False)
        return known

    def of(self, kind: Kind) -> Measured | None:
        """Return the durations of a kind."""
        return self._kinds.get(kind)

    def average_s(self, kind: Kind) -> float | None:
        """Return the moving average of a kind, in seconds."""
        known = self._kinds.get(kind)
        return None if known is None else known.average_s

    def high_s(self, kind: Kind) -> float | None:
        """Return what nine in ten of the newest of a kind took at most, in seconds, and no less than the
        average, which a long one raises at once; None before there are RECENT_MIN of them."""
        known = self._kinds.get(kind)
        if known is None or len(known.recent) < RECENT_MIN:
            return None
        return max(known.quantile(0.9) or 0.0, known.average_s or 0.0)

    def dump(self) -> list[list[Any]]:
        """Return everything as JSON values."""
        return [
            [*kind, known.ended, known.average_s, list(known.recent)] for kind, known in self._kinds.items()
        ]

    @classmethod
    def load(cls, rows: Sequence[Sequence[Any]]) -> Durations:
        """Build it from the values of dump."""
        made = cls()
        for kind, signature, demand, ended, average_s, recent in rows:
            key = (kind, signature, tuple((name, amount) for name, amount in demand))
            made._kinds[key] = Measured(ended, average_s, deque(recent, RECENT_MAX))
        return made
