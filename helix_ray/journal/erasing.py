"""Erases the bodies of facts and keeps everything verifiable: salt and body are removed, their digest stays,
and all proofs remain valid.

Only facts up to the newest snapshot may be erased, since a start folds those after it, and never a
FactsErased, which records who erased what and why. The caller must name all facts about an object
(such as a task) that left the state before the newest snapshot: folded from the beginning, the state
then never has that object.

Older snapshots are removed as well, since they may contain erased values. Backups, logs of attempts and the
copy that an upgrade kept may still contain them: their owner must remove those.
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
    """Return the seqs that a FactsErased names. Raises EraseRefused for facts that may not be erased."""
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
    """Erase rows of the file in the open transaction; rows that are erased already stay as they are."""
    for seq in seqs:
        row = con.execute("SELECT content FROM facts WHERE seq = ?", (seq,)).fetchone()
        if row is not None and row[0] is not None:
            con.execute(_ERASE, (sha256(row[0]).digest(), seq))
