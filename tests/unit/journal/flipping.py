"""A small journal whose files are damaged by one bit or cut at one byte: who opens it, as the master does, is
told of the damage or finds every fact as it was acknowledged."""

from __future__ import annotations

import contextlib
import shutil
import sqlite3
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from unittest.mock import patch

from helix_ray.core.events import Fact, TaskCompleted
from helix_ray.core.origin import Origin
from helix_ray.journal import sealing
from helix_ray.journal.errors import JournalDamaged, JournalTooNew
from helix_ray.journal.sqlite import SqliteJournal
from helix_ray.ports import Snapshot

KEY = b"k" * 32
LEVEL = 10
SEALED = 1 << LEVEL
IN_FILE, IN_LOG = 270, 10
SNAPSHOTS = (SEALED + 20, SEALED + 30)
NOTHING, NEVER = 1 << 60, 1e18
# Of these the files are not told apart: whoever opens the journal first makes them anew.
_REMADE = ("*-shm", "journal.lock")


def fact(seq: int) -> Fact:
    """Return a fact; two neighbours share their author, request and time."""
    origin = Origin("192.0.2.1", f"session-{seq // 8}", "curl/8")
    event = TaskCompleted(f"task-{seq}", 1, {"n": seq, "text": "what it said"})
    return Fact(seq, 1000.0 + seq // 2, f"user-{seq // 8}", f"req-{seq // 2}", event, origin)


def facts(first: int, last: int) -> list[Fact]:
    """Return facts."""
    return [fact(seq) for seq in range(first, last + 1)]


LAST = SEALED + IN_FILE + IN_LOG


@contextlib.contextmanager
def small_segments() -> Iterator[None]:
    """Let a segment have as many facts as the small journal can spare."""
    with patch.multiple(sealing, SEGMENT_LEVEL=LEVEL, SEGMENT_FACTS=SEALED):
        yield


def make(folder: Path, *, killed: bool) -> Path:
    """Return a folder with a journal of a segment, two snapshots and rows in the file, as a clean end leaves
    it, or as a kill does: then some rows are in the write-ahead log only."""
    folder, left = folder / "made", folder / "left"
    with small_segments():
        journal = SqliteJournal(folder, KEY)
        journal.append(facts(1, SEALED))
        journal.append(facts(SEALED + 1, SEALED + IN_FILE))
        for seq in SNAPSHOTS:
            journal.save_snapshot(Snapshot(seq, 1, {"seq": seq}))
        assert (first := journal.sealing_due(0.0, NOTHING, NEVER)) is not None
        assert journal.adopt(journal.seal(first))
        while journal.clear_some():
            pass
        journal.close()
        journal = SqliteJournal(folder, KEY)
        for seq in range(SEALED + IN_FILE + 1, LAST + 1, 5):
            journal.append(facts(seq, seq + 4))
        if not killed:
            journal.close()
        shutil.copytree(folder, left, ignore=shutil.ignore_patterns(*_REMADE))
        journal.close()
    return left


@dataclass(frozen=True, slots=True)
class Harm:
    """A bit of a file that is flipped, or with `bit` None a file that ends at that byte."""

    file: str
    byte: int
    bit: int | None

    def do(self, folder: Path) -> None:
        """Damage the file."""
        with (folder / self.file).open("r+b") as file:
            if self.bit is None:
                file.truncate(self.byte)
                return
            file.seek(self.byte)
            flipped = file.read(1)[0] ^ 1 << self.bit
            file.seek(self.byte)
            file.write(bytes([flipped]))


def flips(file: str, numbers: Iterable[int]) -> list[Harm]:
    """Return flips of bits of a file by their numbers, from 0 to 8 times its size."""
    return [Harm(file, number // 8, number % 8) for number in numbers]


def cuts(file: str, sizes: Iterable[int]) -> list[Harm]:
    """Return cuts of a file to these sizes."""
    return [Harm(file, size, None) for size in sizes]


def judge(folder: Path) -> str:
    """Open, read, verify and go on with a damaged journal, twice; return what was said of the damage, ""
    where nothing was and all is there. Raises AssertionError for anything else."""
    said = ""
    for last in (LAST, LAST + 1):
        try:
            said = said or _opened(folder, last)
        except (JournalDamaged, JournalTooNew) as damage:
            return str(damage)
        except sqlite3.DatabaseError as error:
            # Of an append, which was not acknowledged: the master says so and starts again.
            return f"{type(error).__name__}: {error}"
    return said


def _opened(folder: Path, last: int) -> str:
    journal = SqliteJournal(folder, KEY)
    try:
        snapshot = journal.load_snapshot()
        assert snapshot is None or snapshot in [Snapshot(seq, 1, {"seq": seq}) for seq in SNAPSHOTS]
        assert journal.head() == last, journal.head()
        journal.verify()
        assert journal.read_after(0, last + 1) == facts(1, last)
        journal.append([fact(last + 1)])
    finally:
        journal.close()
    return ""
