"""Erasing what facts say, so that everything stays verifiable: salt and body go, their digest stays,
and so does every proof.

What may be erased: facts up to the newest snapshot, since a start folds what comes after it; never a
FactsErased, which says who erased what and why. Whoever erases names all facts of a thing (a task,
say) that left the state before the newest snapshot was made: folded from the very beginning, the state
then never had that thing.

Older snapshots go as well, since they may hold what is erased. Outside the journal it may still be in
backups, in logs of attempts and in the copy that an upgrade kept: those are their owner's to remove.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from hashlib import sha256

from helix_ray.core.events import Fact, FactsErased
from helix_ray.journal.errors import EraseRefused

SEQS_PER_ERASURE_MAX = 10_000
_ERASE = "UPDATE facts SET content = NULL, digest = ? WHERE seq = ?"


def asked(fact: Fact, snapshot_seq: int) -> Sequence[int]:
    """Return the seqs that a FactsErased names. Raises EraseRefused for what may not be erased."""
    event = fact.event
    if not isinstance(event, FactsErased):
        raise EraseRefused(f"fact {fact.seq} is not a FactsErased fact, so it cannot list what to erase")
    if not 0 < len(event.seqs) <= SEQS_PER_ERASURE_MAX:
        raise EraseRefused(
            f"{len(event.seqs)} facts cannot be erased at once: the limit is {SEQS_PER_ERASURE_MAX}, "
            "and at least 1 must be named"
        )
    outside = [seq for seq in event.seqs if not 0 < seq <= snapshot_seq]
    if outside:
        raise EraseRefused(
            f"fact {outside[0]} cannot be erased: only facts 1 to {snapshot_seq}, which the newest "
            "snapshot covers, can be"
        )
    return event.seqs


def erase_rows(con: sqlite3.Connection, seqs: Sequence[int]) -> None:
    """Erase rows of the file within the open transaction; those that are erased already stay so."""
    for seq in seqs:
        row = con.execute("SELECT content FROM facts WHERE seq = ?", (seq,)).fetchone()
        if row is not None and row[0] is not None:
            con.execute(_ERASE, (sha256(row[0]).digest(), seq))
