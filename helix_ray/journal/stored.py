"""Reads the facts of a journal, from its file or from segments."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Iterator
from pathlib import Path

from helix_ray.core.events import Fact
from helix_ray.journal.errors import JournalDamaged
from helix_ray.journal.interned import Interned
from helix_ray.journal.proofs import leaf_of
from helix_ray.journal.rows import COLUMNS, TILE_FACTS, ReadRow, RowReader, Shared
from helix_ray.journal.segment import Segment

FOLDER = "segments"
# How often to look again for a row that has just moved to a segment.
TRIES = 3

_BYTES = "SELECT coalesce(sum(length(content)), 0) FROM facts WHERE seq > ? AND seq <= ?"
_SHARED = "SELECT {0} FROM facts WHERE seq <= ? AND seq > ? AND {0} IS NOT NULL ORDER BY seq DESC LIMIT 1"


class StoredFacts:
    """Reads facts and leaves over one connection; raises JournalDamaged for missing or changed ones."""

    def __init__(self, con: sqlite3.Connection, words: Interned | None = None) -> None:
        self._con = con
        self._reader = RowReader(words if words is not None else Interned(con))
        self._opened: tuple[str, Segment] | None = None

    @property
    def folder(self) -> Path:
        """The folder of the segments."""
        return Path(self._con.execute("PRAGMA database_list").fetchone()[2]).parent / FOLDER

    def newest(self) -> int:
        """Return the seq of the newest fact, 0 without one."""
        row = self._con.execute("SELECT max(coalesce((SELECT max(seq) FROM facts), 0), ?)", (self.sealed(),))
        return int(row.fetchone()[0])

    def sealed(self) -> int:
        """Return the seq up to which facts are in segments."""
        return int(self._con.execute("SELECT coalesce(max(last), 0) FROM segments").fetchone()[0])

    def facts(self, after: int, limit: int, bytes_max: int | None = None) -> list[Fact]:
        """Return up to `limit` facts after a seq, in order; they end with the one whose body reaches
        `bytes_max`, if that is given."""
        found: list[Fact] = []
        left = bytes_max
        while len(found) < limit and (left is None or left > 0):
            with self._one_moment():
                reader, rows, shared = self._rows(after, after + min(limit - len(found), 1 << 40), left)
                if not rows:
                    break
                if left is not None:
                    rows, left = _within(rows, left)
                found += reader.facts(rows, shared)
            after = rows[-1][0]
        return found

    def leaves(self, after: int, through: int) -> list[bytes]:
        """Return the leaves of the facts after one seq and up to another."""
        return [leaf_of(header, None, digest) for header, digest in self.parts(after, through)]

    def parts(self, after: int, through: int) -> list[tuple[bytes, bytes]]:
        """Return header and digest of the facts after one seq and up to another: what their leaves are
        made of."""
        found: list[tuple[bytes, bytes]] = []
        while after < through:
            with self._one_moment():
                reader, rows, shared = self._rows(after, through)
                if not rows:
                    raise JournalDamaged(f"facts {after + 1} to {through} are missing from the journal")
                found += reader.parts(rows, after, shared)
            after = rows[-1][0]
        return found

    @contextlib.contextmanager
    def _one_moment(self) -> Iterator[None]:
        """Read rows and their authors as of one moment: these may be removed when the rows have moved."""
        if self._con.in_transaction:
            yield
            return
        self._con.execute("BEGIN")
        try:
            yield
        finally:
            self._con.execute("COMMIT")

    def file_rows(self, after: int, through: int) -> list[ReadRow]:
        """Return the rows of the file itself after one seq and up to another."""
        # Fetch all rows: a half-read statement keeps its transaction open, and the WAL
        # could not be checkpointed.
        return self._con.execute(
            f"SELECT {COLUMNS} FROM facts WHERE seq > ? AND seq <= ? ORDER BY seq", (after, through)
        ).fetchall()

    def _reaching(self, after: int, through: int, bytes_max: int) -> int:
        """Return the seq of the fact of the file whose body reaches `bytes_max`, or `through`: bodies that
        are not wanted are not read into memory."""
        if self._con.execute(_BYTES, (after, through)).fetchone()[0] < bytes_max:
            return through
        sizes = self._con.execute(
            "SELECT seq, coalesce(length(content), 0) FROM facts WHERE seq > ? AND seq <= ? ORDER BY seq",
            (after, through),
        ).fetchall()
        for seq, size in sizes:
            bytes_max -= size
            if bytes_max <= 0:
                return int(seq)
        return through

    def _rows(
        self, after: int, through: int, bytes_max: int | None = None
    ) -> tuple[RowReader, list[ReadRow], Shared]:
        """Return the next rows after a seq (empty only at the end), and their reader."""
        for _ in range(TRIES):
            segment = self._segment_of(after + 1)
            if segment is not None:
                rows = [row for row in segment.rows_from(after + 1) if row[0] <= through]
                start = after + 1 - rows[0][0]
                return RowReader(segment), rows[start:], _said(rows[:start])
            end = through if bytes_max is None else self._reaching(after, through, bytes_max)
            rows = self.file_rows(after, end)
            if not rows or rows[0][0] == after + 1:
                return self._reader, rows, self._shared(after) if rows else Shared()
        raise JournalDamaged(f"facts {after + 1} to {rows[0][0] - 1} are missing from the journal")

    def _segment_of(self, seq: int) -> Segment | None:
        row = self._con.execute(
            "SELECT file, first, last FROM segments WHERE last >= ? ORDER BY last LIMIT 1", (seq,)
        ).fetchone()
        if row is None or row[1] > seq:
            return None
        name, first, last = row
        if self._opened is None or self._opened[0] != name:
            segment = Segment(self.folder / name)
            if (segment.first, segment.last) != (first, last):
                raise JournalDamaged(f"{self.folder / name} is not the segment that the journal refers to")
            self._opened = name, segment
        return self._opened[1]

    def _shared(self, seq: int) -> Shared:
        """Return the values that the row after `seq` may omit."""
        tile = seq // TILE_FACTS * TILE_FACTS
        if seq == tile:
            return Shared()
        found = [self._con.execute(_SHARED.format(name), (seq, tile)).fetchone() for name in Shared._fields]
        return Shared(*(row[0] if row is not None else None for row in found))


def _within(rows: list[ReadRow], bytes_max: int) -> tuple[list[ReadRow], int]:
    """Return the rows up to the one whose body reaches `bytes_max`, and how many bytes are left then."""
    for count, row in enumerate(rows, 1):
        bytes_max -= len(row[3] or b"")
        if bytes_max <= 0:
            return rows[:count], bytes_max
    return rows, bytes_max


def _said(rows: list[ReadRow]) -> Shared:
    """Return the values after the last of a block's rows."""
    at, author, request = Shared()
    for row in rows:
        at = row[4] if row[4] is not None else at
        author = row[5] if row[5] is not None else author
        request = row[6] if row[6] is not None else request
    return Shared(at, author, request)
