"""How long attempts took, by kind of work: folded from facts, so a restart forgets nothing.

A kind is what is run, and with which demand: the first three fields of a TaskClass. Who asked for it, and
where it may run, does not change how long it takes.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

KINDS_MAX = 2_000
RECENT_MAX = 32
WEIGHT = 0.2
# One run this much longer than the average counts at once: holding too much hurts more
# than holding too little.
JUMP = 4.0

Kind = tuple[str, str, tuple[tuple[str, float], ...]]


def moved(average_s: float | None, duration_s: float) -> float:
    """Return a moving average after one more duration."""
    if average_s is None or duration_s > JUMP * average_s:
        return duration_s
    return average_s + WEIGHT * (duration_s - average_s)


@dataclass(slots=True)
class Measured:
    """What is known of one kind: how many ended, a moving average, and the
    newest durations, all in seconds."""

    ended: int = 0
    average_s: float | None = None
    recent: deque[float] = field(default_factory=lambda: deque(maxlen=RECENT_MAX))

    def quantile(self, share: float) -> float | None:
        """Return the duration that a share (0 to 1) of the newest runs stayed within;
        None when there are none."""
        if not self.recent:
            return None
        ordered = sorted(self.recent)
        return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


class Durations:
    """The kinds that ended lately, the least recent first."""

    def __init__(self) -> None:
        self._kinds: OrderedDict[Kind, Measured] = OrderedDict()

    def note(self, kind: Kind, duration_s: float) -> None:
        """Take in how long one attempt took."""
        known = self._known(kind)
        known.ended += 1
        known.average_s = moved(known.average_s, duration_s)
        known.recent.append(duration_s)

    def outlasted(self, kind: Kind, ran_s: float) -> None:
        """Take in that an attempt has run for so long and has not ended: the average is no shorter."""
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
        """Return what is known of a kind."""
        return self._kinds.get(kind)

    def average_s(self, kind: Kind) -> float | None:
        """Return the moving average of a kind, in seconds."""
        known = self._kinds.get(kind)
        return None if known is None else known.average_s

    def dump(self) -> list[list[Any]]:
        """Return all of it as JSON values."""
        return [
            [*kind, known.ended, known.average_s, list(known.recent)] for kind, known in self._kinds.items()
        ]

    @classmethod
    def load(cls, rows: Sequence[Sequence[Any]]) -> Durations:
        """Build what dump described."""
        made = cls()
        for kind, signature, demand, ended, average_s, recent in rows:
            key = (kind, signature, tuple((name, amount) for name, amount in demand))
            made._kinds[key] = Measured(ended, average_s, deque(recent, RECENT_MAX))
        return made
