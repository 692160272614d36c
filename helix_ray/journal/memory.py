"""The journal in memory, for tests and trials; it passes the same contract suite as the SQLite one."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import replace
from hashlib import sha256

from helix_ray.core.codec import kind_of, values_of
from helix_ray.core.events import Erased, Fact, subject_of
from helix_ray.journal.encoding import reaching, to_json
from helix_ray.journal.erasing import asked, refuse_record
from helix_ray.journal.errors import SeqGap, StaleWriter
from helix_ray.journal.interned import Author, Kind
from helix_ray.journal.merkle import consistency_path, inclusion_path, root_of, subtree_of
from helix_ray.journal.proofs import leaf_of
from helix_ray.journal.rows import SALT_BYTES, header_of, header_of_kind, header_of_order
from helix_ray.ports import Snapshot


class MemoryJournal:
    """Facts in a list; they exist as long as a journal over the list does."""

    def __init__(self, previous: MemoryJournal | None = None) -> None:
        """Start empty, or take over from another journal, which can then no longer append."""
        self.epoch = 1
        self._facts: list[Fact] = []
        # Made at the first request of a root or proof, and kept, because a leaf's salt is random.
        self._leaves: list[bytes] = []
        self._snapshot: Snapshot | None = None
        self._stale = False
        if previous is not None:
            self.epoch = previous.epoch + 1
            self._facts, self._leaves = previous._facts, previous._leaves
            self._snapshot = previous._snapshot
            previous._stale = True

    def append(self, facts: Sequence[Fact]) -> list[int]:
        """Append facts, all or none; return how many bytes each body has. Raises SeqGap when they do not
        follow the head, StaleWriter after a takeover."""
        if self._stale:
            raise StaleWriter(f"epoch {self.epoch} has ended")
        for seq, fact in enumerate(facts, len(self._facts) + 1):
            if fact.seq != seq:
                raise SeqGap(f"fact {fact.seq} does not follow {seq - 1}")
        self._facts.extend(facts)
        return [_body_bytes(fact) for fact in facts]

    def erase(self, fact: Fact) -> None:
        """Append a FactsErased and erase the facts that it names. Raises
        EraseRefused, SeqGap, StaleWriter."""
        seqs = asked(fact, self._snapshot.seq if self._snapshot is not None else 0)
        for seq in seqs:
            refuse_record(self._facts[seq - 1])
        self._grow(self.head())
        self.append([fact])
        for seq in seqs:
            was = self._facts[seq - 1]
            if not isinstance(was.event, Erased):
                erased = Erased(subject_of(was.event), kind_of(was.event)[0])
                self._facts[seq - 1] = Fact(was.seq, was.at, was.actor, was.request_id, erased, was.origin)

    def head(self) -> int:
        """Return the newest seq."""
        return len(self._facts)

    def read_after(self, seq: int, limit: int, bytes_max: int | None = None) -> list[Fact]:
        """Return up to `limit` facts after `seq`, up to the one whose body reaches `bytes_max`."""
        facts = self._facts[seq : seq + limit]
        return facts if bytes_max is None else facts[: reaching(map(_body_bytes, facts), bytes_max)]

    def save_snapshot(self, snapshot: Snapshot) -> None:
        """Store the newest snapshot."""
        body = {
            name: list(value) if isinstance(value, Iterator) else value
            for name, value in snapshot.body.items()
        }
        self._snapshot = replace(snapshot, body=body)

    def load_snapshot(self) -> Snapshot | None:
        """Return the newest snapshot."""
        return self._snapshot

    # ------------------------------------------------------------------------------------------ proofs

    def root(self, size: int | None = None) -> bytes:
        """Return the root of the tree of the first `size` facts (default: all). Raises
        ValueError beyond the head."""
        return root_of(self._node, self._grow(size))

    def leaf(self, seq: int) -> bytes:
        """Return a fact's leaf; raises ValueError where there is no such fact."""
        self._grow(seq)
        return self._leaves[seq - 1]

    def inclusion_proof(self, seq: int, size: int | None = None) -> list[bytes]:
        """Return the path from a fact to the root of the first `size`. Raises ValueError."""
        return inclusion_path(self._node, seq - 1, self._grow(size))

    def consistency_proof(self, old: int, new: int | None = None) -> list[bytes]:
        """Return the proof that the tree of `new` facts begins with that of `old`. Raises ValueError."""
        return consistency_path(self._node, old, self._grow(new))

    def close(self) -> None:
        """Do nothing."""

    def _node(self, level: int, place: int) -> bytes:
        return subtree_of(self._leaves[place << level : (place + 1) << level])

    def _grow(self, size: int | None) -> int:
        """Make the leaves of the first `size` facts; return their number."""
        size = self.head() if size is None else size
        if not 0 <= size <= self.head():
            raise ValueError(f"the journal has facts 1 to {self.head()}, not {size}")
        for fact in self._facts[len(self._leaves) : size]:
            assert not isinstance(fact.event, Erased)  # make all leaves before anything is erased
            name, version = kind_of(fact.event)
            order = header_of_order(Author.of(self.epoch, fact.actor, fact.origin), fact.at, fact.request_id)
            kind = header_of_kind(Kind(name, version, fact.outcome))
            content = os.urandom(SALT_BYTES) + to_json(values_of(name)(fact.event))
            header = header_of(order, fact.seq, subject_of(fact.event), kind)
            self._leaves.append(leaf_of(header, None, sha256(content).digest()))
        return size


def _body_bytes(fact: Fact) -> int:
    return len(to_json(fact.event))
