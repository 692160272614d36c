"""The journal's promises without a disk, for tests and trials; the same contract suite as the SQLite one."""

from __future__ import annotations

from collections.abc import Sequence

from helix_ray.core.events import Fact
from helix_ray.ports import Snapshot


class MemoryJournal:
    """Facts in a list. What "durable" means here: as long as the object lives."""

    def __init__(self) -> None:
        self.epoch = 1
        self._facts: list[Fact] = []
        self._snapshot: Snapshot | None = None

    def append(self, facts: Sequence[Fact]) -> None:
        """Add facts; their seqs must follow on from the head."""
        for fact in facts:
            if fact.seq != len(self._facts) + 1:
                raise ValueError(f"fact {fact.seq} does not follow {len(self._facts)}")
            self._facts.append(fact)

    def head(self) -> int:
        """Return the newest seq."""
        return len(self._facts)

    def read_after(self, seq: int, limit: int) -> list[Fact]:
        """Return up to `limit` facts after `seq`."""
        return self._facts[seq : seq + limit]

    def save_snapshot(self, snapshot: Snapshot) -> None:
        """Keep the newest snapshot."""
        self._snapshot = snapshot

    def load_snapshot(self) -> Snapshot | None:
        """Return the newest snapshot."""
        return self._snapshot

    def close(self) -> None:
        """Nothing to release."""
