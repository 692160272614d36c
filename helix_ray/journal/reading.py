"""The read-only journal, for a disk that cannot be written: checked as at every start, and never changed.

It takes no lock and begins no epoch. Its user keeps trying to open the writable one (SqliteJournal), which
checks everything again.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from helix_ray.core.events import Fact
from helix_ray.journal.errors import StaleWriter
from helix_ray.journal.head import HeadFile
from helix_ray.journal.layout import connect
from helix_ray.journal.sqlite import FILE_NAME, SqliteJournal
from helix_ray.journal.tree import StoredTree
from helix_ray.journal.upgrade import refuse_unwritable
from helix_ray.ports import Snapshot


class ReadingJournal(SqliteJournal):
    """Reads a data directory's journal; an append raises StaleWriter."""

    def __init__(self, data_dir: Path, key: bytes) -> None:
        """Open for reading. Raises JournalDamaged, JournalTooNew, sqlite3.OperationalError or OSError."""
        self._path = data_dir / FILE_NAME
        self._key = key
        self._head_file = HeadFile(data_dir / "HEAD", key)
        claim = self._head_file.read()
        with self._advised():
            refuse_unwritable(self._path)
            self._edge = self._check_file(claim)
        self.reopen()
        self.epoch = int(
            self._connection().execute("SELECT value FROM meta WHERE name = 'epoch'").fetchone()[0]
        )

    def reopen(self) -> None:
        """Open the file again after `close`."""
        self._con = connect(self._path, "ro")
        self._tree = StoredTree(self._con)

    def append(self, facts: Sequence[Fact]) -> list[int]:
        """Raise StaleWriter: this journal is read-only."""
        raise StaleWriter("the journal is open read-only")

    def save_snapshot(self, snapshot: Snapshot) -> None:
        """Do nothing."""

    def note_head(self) -> None:
        """Do nothing: no fact was acknowledged."""

    def mark_head(self) -> None:
        """Do nothing: no fact was acknowledged."""

    def close(self) -> None:
        """Close the file; safe to call twice."""
        if self._con is not None:
            self._con.close()
            self._con = None
