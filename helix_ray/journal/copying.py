"""Copies a journal's file up to a seq while it is written, without keeping a read transaction open.

Facts are only ever appended, so the copy does not need one consistent moment: it takes the facts up to the
newest one at its beginning, in pieces, and the tree nodes over them. Each piece is read in a separate
transaction, so the WAL can be checkpointed meanwhile. Facts that are erased meanwhile may still be in the
copy, as in any older copy. Rows that move to a segment meanwhile are copied as that segment. The caller must
verify the whole copy afterwards.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path

from helix_ray.journal import layout, sealing
from helix_ray.journal.errors import JournalDamaged
from helix_ray.journal.stored import FOLDER
from helix_ray.journal.tree import StoredTree

FACTS_PER_STEP = 5_000
# How often to look again for rows that were just moved, or a segment that was just rewritten.
TRIES = 5

_ROWS = "SELECT * FROM facts WHERE seq > ? AND seq <= ? ORDER BY seq"


class Copying:
    """Copies a journal's file and its segments to a folder without either."""

    def __init__(
        self,
        source: Path,
        target: Path,
        copy_file: Callable[[Path, Path], None],
        on_facts: Callable[[int, int], None],
    ) -> None:
        """`copy_file` copies a segment durably; `on_facts` is called with the number of
        copied facts and the total."""
        self._source = source
        self._target = target
        self._copy_file = copy_file
        self._on_facts = on_facts

    def run(self) -> int:
        """Copy everything; return the newest seq. The file has no WAL, and is not durable yet."""
        with contextlib.closing(layout.connect(self._source, "ro")) as reading, self._made() as copy:
            through = StoredTree(reading).newest()
            # First: the authors of rows that are copied may be removed before the end, when the rows have
            # moved to a segment (journal/pruning.py).
            copy.execute("BEGIN")
            _copy_table(reading, copy, "authors", 6)
            copy.execute("COMMIT")
            done = tries = 0
            while done < through:
                self._on_facts(done, through)
                before, done = done, self._segment_or_rows(reading, copy, done, through)
                tries = 0 if done > before else tries + 1
                if tries == TRIES:
                    raise JournalDamaged(f"facts from {done + 1} on are missing from the journal")
                # A segment may end after the fact that was the newest at the beginning.
                through = max(through, done)
            self._on_facts(through, through)
            _copy_rest(reading, copy, through)
        return through

    @contextlib.contextmanager
    def _made(self) -> Iterator[sqlite3.Connection]:
        os.close(os.open(self._target, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
        with contextlib.closing(sqlite3.connect(self._target, isolation_level=None)) as copy:
            layout.configure(copy)
            copy.execute("PRAGMA synchronous = OFF")
            yield copy
            # A single file without a WAL can be moved, and read from a read-only disk.
            copy.execute("PRAGMA journal_mode = DELETE")

    def _segment_or_rows(
        self, reading: sqlite3.Connection, copy: sqlite3.Connection, done: int, through: int
    ) -> int:
        """Copy facts after `done`; return the last seq that was copied, `done` itself where
        the caller must look again."""
        sealed = StoredTree(copy).sealed()
        segments = [s for s in sealing.listed(reading) if s.last > sealed and s.first <= done + 1]
        if not segments:
            return _rows(reading, copy, done, min(through, done + FACTS_PER_STEP))
        # Those of facts that were copied as rows as well: a journal has no rows before a segment, and would
        # delete them.
        for segment in segments:
            target = self._target.with_name(FOLDER)
            target.mkdir(mode=0o700, exist_ok=True)
            try:
                self._copy_file(self._source.with_name(FOLDER) / segment.file, target / segment.file)
            except FileNotFoundError:
                # An erasure has just rewritten it under another name.
                return done
            copy.execute("BEGIN")
            copy.execute("DELETE FROM facts WHERE seq BETWEEN ? AND ?", (segment.first, segment.last))
            sealing.adopt(copy, segment)
            copy.execute("COMMIT")
            done = max(done, segment.last)
        return done


def _rows(reading: sqlite3.Connection, copy: sqlite3.Connection, done: int, last: int) -> int:
    """Copy rows after `done` up to `last`; return `done` itself where they have moved to a segment meanwhile,
    beginning with the first one."""
    copy.execute("BEGIN")
    rows = copy.executemany(
        "INSERT INTO facts VALUES (?, ?, ?, ?, ?, ?, ?, ?)", reading.execute(_ROWS, (done, last))
    ).rowcount
    copy.execute("COMMIT" if rows == last - done else "ROLLBACK")
    return last if rows == last - done else done


def _copy_rest(reading: sqlite3.Connection, copy: sqlite3.Connection, through: int) -> None:
    """Copy the kinds, the tree nodes, the newest snapshot, and the epoch."""
    copy.execute("BEGIN")
    for table, columns, where in (
        ("kinds", 4, ""),
        ("snapshots", 6, f"WHERE seq = (SELECT max(seq) FROM snapshots WHERE seq <= {through})"),
    ):
        _copy_table(reading, copy, table, columns, where)
    copy.executemany("INSERT INTO tree VALUES (?, ?, ?)", layout.nodes_through(reading, through))
    epoch = reading.execute("SELECT value FROM meta WHERE name = 'epoch'").fetchone()[0]
    copy.execute("UPDATE meta SET value = ? WHERE name = 'epoch'", (epoch,))
    copy.execute("COMMIT")


def _copy_table(
    reading: sqlite3.Connection, copy: sqlite3.Connection, table: str, columns: int, where: str = ""
) -> None:
    marks = ", ".join("?" * columns)
    copy.executemany(
        f"INSERT INTO {table} VALUES ({marks})", reading.execute(f"SELECT * FROM {table} {where}")
    )
