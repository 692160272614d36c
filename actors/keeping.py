"""The master's journal: open for writing, or read-only while its disk cannot be written.

for writing    orders are recorded while there is disk space (helix_ray/journal/room.py), and the open files
               are those of the data directory (helix_ray/journal/in_place.py)
read-only      questions are answered, orders that would be recorded are refused, and `reopened` tries again
"""

from __future__ import annotations

import logging
import sqlite3
from pathlib import Path
from typing import NamedTuple

from helix_ray.core.errors import Rejected
from helix_ray.engine import Engine
from helix_ray.journal.errors import JournalLocked
from helix_ray.journal.in_place import OpenedFiles
from helix_ray.journal.reading import ReadingJournal
from helix_ray.journal.room import DiskRoom, Hindrance
from helix_ray.journal.sqlite import SqliteJournal

log = logging.getLogger(__name__)

LOCK_WAIT_S = 2.0
# There is space again, but the journal is not open for writing yet.
REOPENING = Hindrance("read_only", {})
# Errors of opening and writing that are caused by the machine.
Trouble = (OSError, sqlite3.Error, JournalLocked)


class JournalFigures(NamedTuple):
    """How large the write-ahead log is, and whether nothing can be recorded."""

    log_bytes: int
    is_hindered: bool


class Keeping:
    """A data directory's journal and its disk space."""

    def __init__(self, data_dir: Path, reserve_bytes: int) -> None:
        self._data_dir = data_dir
        self._room = DiskRoom(data_dir, reserve_bytes, ballast=True)
        self._secret = b""
        self._said = False
        self._files: OpenedFiles | None = None
        self._moved: Hindrance | None = None
        self.journal: SqliteJournal

    def open(self, secret: bytes) -> SqliteJournal:
        """Open the journal, read-only where the disk cannot be written. Raises the errors of opening."""
        self._secret = secret
        hindrance = self._room.look(probe=self._data_dir.is_dir())
        try:
            self.journal = self._whole()
            self._files = OpenedFiles(self._data_dir)
        except Trouble:
            hindrance = hindrance or self._room.look()
            if hindrance is None:
                raise
            self.journal = ReadingJournal(self._data_dir, secret)
            log.error("the journal is open read-only until it can be opened for writing: %s", hindrance)
        return self.journal

    def _whole(self) -> SqliteJournal:
        # The predecessor of a restarted master may still be ending.
        return SqliteJournal(self._data_dir, self._secret, LOCK_WAIT_S, answers_first=True)

    def hindrance(self) -> Hindrance | None:
        """Return why nothing can be recorded; None when everything can."""
        found = self._room.look() or self._displaced()
        return REOPENING if found is None and isinstance(self.journal, ReadingJournal) else found

    def _displaced(self) -> Hindrance | None:
        """Return why the open files are not those of the data directory; a change is logged once."""
        found = None if self._files is None else self._files.hindrance()
        if found != self._moved:
            if found is not None:
                log.error("nothing is recorded: %s. docs/operations.md says how it is put back", found)
            else:
                log.info("the journal is in its place again, and is written as before")
            self._moved = found
        return found

    def figures(self) -> JournalFigures:
        """Return figures for /metrics."""
        return JournalFigures(self.journal.log_bytes(), self.hindrance() is not None)

    def no_room(self, *, vital: bool = False) -> Rejected | None:
        """Return the refusal of an order that would be recorded (engine.SpaceCheck)."""
        if isinstance(self.journal, ReadingJournal):
            return (self.hindrance() or REOPENING).rejected()
        if (displaced := self._displaced()) is not None:
            return displaced.rejected()
        return self._room.refusal(vital=vital)

    def reopened(self) -> SqliteJournal | None:
        """Open a read-only journal for writing, if there is space; blocks as long as a start does."""
        reading = self.journal
        if not isinstance(reading, ReadingJournal) or self._room.look() is not None:
            return None
        # SQLite shares a file's state within a process: a WAL index that is mapped read-only would stay so.
        reading.close()
        try:
            return self._whole()
        except Trouble as error:
            log.warning("cannot open the journal for writing yet: %s", error)
            reading.reopen()
            return None

    def take(self, journal: SqliteJournal, engine: Engine) -> None:
        """Continue with a journal that was opened for writing."""
        engine.take(journal)
        self.journal = journal
        self._files = OpenedFiles(self._data_dir)
        log.info("epoch %d: the journal is open for writing again", journal.epoch)

    def mark_head(self) -> None:
        """Make HEAD durable; a failure is logged once and tried again, since HEAD only
        protects the next start."""
        try:
            self.journal.mark_head()
            self._said = False
        except OSError as error:
            if not self._said:
                log.error("cannot write HEAD, retrying: %s", error)
            self._said = True
