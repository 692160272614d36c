"""The newest facts, in memory: what most followers ask for, and no journal has to be read.

Beside each fact stands how many bytes its body has as JSON, which the append knows: a batch for a follower is
bounded in bytes, and several followers ask for the same facts.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from helix_ray.core.events import Erased, Fact, subject_of
from helix_ray.journal.encoding import reaching, to_json

RECENT_FACTS_MAX = 50_000
"""Facts kept in memory for followers (up to twice as many); one that is further behind reads the journal."""

_UNKNOWN = -1


class RecentFacts:
    """Facts without gaps, up to the newest; what is asked for must not be older than `oldest`."""

    def __init__(self) -> None:
        # Lists, not deques: followers read slices at their end many times a second.
        self._facts: list[Fact] = []
        self._sizes: list[int] = []

    @property
    def oldest(self) -> int | None:
        """The seq of the oldest one; None when there is none."""
        return self._facts[0].seq if self._facts else None

    def add(self, facts: Sequence[Fact], sizes: Sequence[int] | None = None) -> None:
        """Keep facts that follow the newest one; `sizes` are the bytes of their bodies, where known."""
        self._facts.extend(facts)
        self._sizes.extend([_UNKNOWN] * len(facts) if sizes is None else sizes)
        if len(self._facts) >= 2 * RECENT_FACTS_MAX:
            del self._facts[:-RECENT_FACTS_MAX]
            del self._sizes[:-RECENT_FACTS_MAX]

    def after(self, seq: int, limit: int, bytes_max: int) -> tuple[Fact, ...]:
        """Return up to `limit` facts after `seq`, up to the one whose body reaches `bytes_max`."""
        start = seq + 1 - self._facts[0].seq
        stop = min(start + limit, len(self._facts))
        sizes = self._sizes[start:stop]
        if _UNKNOWN in sizes:
            sizes = self._sizes[start:stop] = [len(to_json(fact.event)) for fact in self._facts[start:stop]]
        if sum(sizes) > bytes_max:
            stop = start + reaching(sizes, bytes_max)
        return tuple(self._facts[start:stop])

    def forget(self, seqs: Sequence[int]) -> None:
        """Replace what was erased by what is left of it."""
        first = self.oldest or 0
        for seq in seqs:
            place = seq - first
            if 0 <= place < len(self._facts) and not isinstance(self._facts[place].event, Erased):
                fact = self._facts[place]
                left = Erased(subject_of(fact.event), type(fact.event).__name__)
                self._facts[place] = replace(fact, event=left)
