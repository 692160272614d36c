"""Reads the facts of a journal from a process that does not own it: page by page, from the file and from
segments.

Each page is one short read transaction. Between two pages a slow reader keeps no snapshot of the file open,
so checkpoints of the write-ahead log never wait for it.
"""

from __future__ import annotations

import sqlite3
from pathlib import Path

from helix_ray.core.events import Fact
from helix_ray.journal.errors import JournalDamaged
from helix_ray.journal.layout import connect
from helix_ray.journal.sqlite import FILE_NAME
from helix_ray.journal.stored import TRIES, StoredFacts


class FactReader:
    """Reads the journal of one data directory; any thread may call it, but only one at a time."""

    def __init__(self, data_dir: Path) -> None:
        """Open nothing: the first `read` opens the file."""
        self._path = data_dir / FILE_NAME
        self._con: sqlite3.Connection | None = None
        self._stored: StoredFacts

    def read(self, after: int, through: int, facts_max: int, bytes_max: int) -> list[Fact]:
        """Return the facts after a seq and up to another, `facts_max` at most; the page ends with the fact
        that reaches `bytes_max`.

        Raises OSError, sqlite3.Error, JournalTooNew or JournalDamaged.
        """
        for left in reversed(range(TRIES)):
            try:
                return self._page(after, min(facts_max, through - after), bytes_max)
            except JournalDamaged:
                # An erasure may have just replaced the segment.
                self.close()
                if not left:
                    raise
        raise AssertionError

    def _page(self, after: int, facts_max: int, bytes_max: int) -> list[Fact]:
        if self._con is None:
            self._con = connect(self._path, "ro")
            self._stored = StoredFacts(self._con)
        # One snapshot of the file for all statements of a page: rows may move to a segment meanwhile.
        self._con.execute("BEGIN")
        try:
            return self._stored.facts(after, facts_max, bytes_max)
        finally:
            self._con.execute("COMMIT")

    def close(self) -> None:
        """Close the file; safe to call twice. A later `read` opens it again."""
        con, self._con = self._con, None
        if con is not None:
            con.close()
