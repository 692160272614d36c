"""The journal's promises without a disk, for tests and trials; the same contract suite as the SQLite one."""

from __future__ import annotations

from collections.abc import Sequence

from helix_ray.core.events import Fact
from helix_ray.journal.errors import SeqGap, StaleWriter
from helix_ray.ports import Snapshot


class MemoryJournal:
    """Facts in a list. What "durable" means here: as long as some journal over the list lives."""

    def __init__(self, previous: MemoryJournal | None = None) -> None:
        """Start empty, or take over from another journal, which may not append any more."""
        self.epoch = 1
        self._facts: list[Fact] = []
        self._snapshot: Snapshot | None = None
        self._stale = False
        if previous is not None:
            self.epoch = previous.epoch + 1
            self._facts, self._snapshot = previous._facts, previous._snapshot
            previous._stale = True

    def append(self, facts: Sequence[Fact]) -> None:
        """Add facts, all or none. Raises SeqGap when they do not follow on from the head, StaleWriter after a takeover."""
        if self._stale:
            raise StaleWriter(f"epoch {self.epoch} is over")
        for seq, fact in enumerate(facts, len(self._facts) + 1):
            if fact.seq != seq:
                raise SeqGap(f"fact {fact.seq} does not follow {seq - 1}")
        self._facts.extend(facts)

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
