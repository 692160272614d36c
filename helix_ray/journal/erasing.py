"""Erases the bodies of facts and keeps everything verifiable: salt and body are removed, their digest stays,
and all proofs remain valid.

    1. prepare   rewrite segments with any of the facts to new files, beside the writer of the journal
    2. commit    one transaction: the FactsErased, rows without bodies, the names of the segments of step 1
    3. tidy      remove the old segments
    4. cut       checkpoint and truncate the WAL, which had the old pages

A kill before step 2 erases nothing; after it, the next erasure or start completes the rest.

Only facts up to the newest snapshot may be erased, since a start folds those after it, and never a fact that
records what was erased, by whom and why. The caller must name facts about objects that have left the state
(core/erasure.py). Older snapshots are removed as well, since they may contain erased values. Backups and the
copy that an upgrade kept may still contain them: their owner must remove those.
"""

from __future__ import annotations

import contextlib
import sqlite3
from bisect import bisect_left
from collections.abc import Sequence
from hashlib import sha256
from pathlib import Path
from typing import NamedTuple

from helix_ray.core.erasure import NEVER_ERASED
from helix_ray.core.events import Fact, FactsErased
from helix_ray.journal import sealing
from helix_ray.journal.errors import EraseRefused
from helix_ray.journal.layout import connect
from helix_ray.journal.tree import StoredTree

SEQS_PER_ERASURE_MAX = 10_000
# How long a commit may have to wait for a log that is being cut.
CUT_WAIT_S = 0.1
# Copies of the journal beside it, which erasing does not reach.
COPIES = ("journal.sqlite.format1",)
_ERASE = "UPDATE facts SET content = NULL, digest = ? WHERE seq = ?"


class Prepared(NamedTuple):
    """What an erasure needs: the seqs, in order, and segments that take the place
    of others, by their files."""

    seqs: Sequence[int]
    replaced: dict[str, sealing.Sealed]


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


def refuse_record(fact: Fact) -> None:
    """Raise EraseRefused for a fact that records an erasure."""
    if isinstance(fact.event, NEVER_ERASED):
        raise EraseRefused(f"fact {fact.seq} cannot be erased: it records what was erased, by whom and why")


def prepare(path: Path, seqs: Sequence[int]) -> Prepared:
    """Check facts of a journal's file and write segments without them; a kill leaves the old
    ones. Raises EraseRefused."""
    ordered = sorted(set(seqs))
    with contextlib.closing(connect(path, "ro")) as con:
        tree = StoredTree(con)
        for seq in ordered:
            refuse_record(tree.facts(seq - 1, 1)[0])
        # Not the name of a file that is in use: the journal has grown since that was written.
        mark = f"-{tree.newest() + 1}"
        replaced = {
            sealed.file: sealing.without(tree.folder, sealed, ordered, mark)
            for sealed in concerned(con, ordered)
        }
    return Prepared(ordered, replaced)


def concerned(con: sqlite3.Connection, ordered: Sequence[int]) -> list[sealing.Sealed]:
    """Return the segments that hold any of these facts."""
    return [sealed for sealed in sealing.listed(con) if _any_within(ordered, sealed.first, sealed.last)]


def _any_within(ordered: Sequence[int], first: int, last: int) -> bool:
    place = bisect_left(ordered, first)
    return place < len(ordered) and ordered[place] <= last


def erase_rows(con: sqlite3.Connection, prepared: Prepared) -> None:
    """Erase rows and take the new segments, within the open transaction; what is erased already stays so.

    Raises EraseRefused where facts have moved to another segment since it was prepared.
    """
    if {sealed.file for sealed in concerned(con, prepared.seqs)} != prepared.replaced.keys():
        raise EraseRefused("the facts have moved to another segment meanwhile: prepare the erasure again")
    for seq in prepared.seqs:
        row = con.execute("SELECT content FROM facts WHERE seq = ?", (seq,)).fetchone()
        if row is not None and row[0] is not None:
            con.execute(_ERASE, (sha256(row[0]).digest(), seq))
    for sealed in prepared.replaced.values():
        sealing.adopt(con, sealed)


def cut_log(path: Path) -> bool:
    """Fold the write-ahead log into the file and cut it, through a connection of its own; False while
    somebody reads what it has."""
    with contextlib.closing(sqlite3.connect(path, isolation_level=None, timeout=CUT_WAIT_S)) as con:
        try:
            busy = con.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0]
        except sqlite3.OperationalError:
            return False
    return not busy


def copies_beside(path: Path) -> list[str]:
    """Return the names of copies of a journal that lie beside it."""
    return [name for name in COPIES if path.with_name(name).exists()]
