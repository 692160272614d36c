"""A copy of a journal's file as of one seq, made beside its writer without ever
keeping a read transaction open.

Facts are only ever added, so a copy needs no single moment: facts up to the newest one of its beginning, some
at a time, and the nodes over them. Each piece is read in a transaction of its own; the write-ahead log is
folded in as if nobody read. What an erasure takes away meanwhile may still be in the copy, as in one that was
made a minute before. Rows that move to a segment meanwhile are copied as that segment. Whoever copies checks
all of the copy afterwards.
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
# How often what has just moved, or was just written anew, is looked for again.
TRIES = 5

_ROWS = "SELECT * FROM facts WHERE seq > ? AND seq <= ? ORDER BY seq"


class Copying:
    """Copies a journal's file and its segments to a folder that has neither."""

    def __init__(
        self,
        source: Path,
        target: Path,
        copy_file: Callable[[Path, Path], None],
        on_facts: Callable[[int, int], None],
    ) -> None:
        """`copy_file` copies a segment, durably; `on_facts` hears how many facts of how many are there."""
        self._source = source
        self._target = target
        self._copy_file = copy_file
        self._on_facts = on_facts

    def run(self) -> int:
        """Copy it; return the newest seq. The file has no log beside it, and is not durable yet."""
        with contextlib.closing(layout.connect(self._source, "ro")) as reading, self._made() as copy:
            through = StoredTree(reading).newest()
            done = tries = 0
            while done < through:
                self._on_facts(done, through)
                before, done = done, self._segment_or_rows(reading, copy, done, through)
                tries = 0 if done > before else tries + 1
                if tries == TRIES:
                    raise JournalDamaged(f"facts from {done + 1} on are missing from the journal")
                # A segment may end beyond what was the newest fact.
                through = max(through, done)
            self._on_facts(through, through)
            _copy_rest(reading, copy, through)
        return through

    @contextlib.contextmanager
    def _made(self) -> Iterator[sqlite3.Connection]:
        os.close(os.open(self._target, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
        with contextlib.closing(sqlite3.connect(self._target, isolation_level=None)) as copy:
            layout.settle(copy)
            copy.execute("PRAGMA synchronous = OFF")
            yield copy
            # One file without a log beside it: it can be moved, and read from a disk that cannot be written.
            copy.execute("PRAGMA journal_mode = DELETE")

    def _segment_or_rows(
        self, reading: sqlite3.Connection, copy: sqlite3.Connection, done: int, through: int
    ) -> int:
        """Copy what comes after fact `done`; return the seq that is reached, `done` itself where it has
        to be looked for again."""
        segment = next((s for s in sealing.listed(reading) if s.first <= done + 1 <= s.last), None)
        copy.execute("BEGIN")
        if segment is None:
            last = min(through, done + FACTS_PER_STEP)
            rows = copy.executemany(
                "INSERT INTO facts VALUES (?, ?, ?, ?, ?, ?, ?, ?)", reading.execute(_ROWS, (done, last))
            ).rowcount
            # Rows that a segment holds by now have gone meanwhile, from the first one on.
            copy.execute("COMMIT" if rows == last - done else "ROLLBACK")
            return last if rows == last - done else done
        # It may hold rows that were copied before they moved.
        copy.execute("DELETE FROM facts WHERE seq >= ?", (segment.first,))
        sealing.adopt(copy, segment)
        copy.execute("COMMIT")
        target = self._target.with_name(FOLDER)
        target.mkdir(mode=0o700, exist_ok=True)
        with contextlib.suppress(FileNotFoundError):
            self._copy_file(self._source.with_name(FOLDER) / segment.file, target / segment.file)
            return segment.last
        # An erasure has just written it anew, under another name.
        return done


def _copy_rest(reading: sqlite3.Connection, copy: sqlite3.Connection, through: int) -> None:
    """Copy what rows name, the nodes over them, their newest snapshot, and the epoch."""
    copy.execute("BEGIN")
    for table, columns, where in (
        ("kinds", 4, ""),
        ("authors", 6, ""),
        ("nodes", 3, f"WHERE (place + 1) << level <= {through}"),
        ("snapshots", 6, f"WHERE seq = (SELECT max(seq) FROM snapshots WHERE seq <= {through})"),
    ):
        marks = ", ".join("?" * columns)
        copy.executemany(
            f"INSERT INTO {table} VALUES ({marks})", reading.execute(f"SELECT * FROM {table} {where}")
        )
    epoch = reading.execute("SELECT value FROM meta WHERE name = 'epoch'").fetchone()[0]
    copy.execute("UPDATE meta SET value = ? WHERE name = 'epoch'", (epoch,))
    copy.execute("COMMIT")
