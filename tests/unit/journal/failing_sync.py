"""Appends to a journal, seals and erases while the n-th sync fails, for n from 0 until all succeed; what was
acknowledged must be there. Runs under failing_sync.c: `python failing_sync.py FOLDER`."""

from __future__ import annotations

import contextlib
import ctypes
import sqlite3
import sys
from dataclasses import dataclass
from pathlib import Path

from helix_ray.core.events import Erased, Fact, FactsErased, TaskCompleted
from helix_ray.journal import sealing
from helix_ray.journal.errors import JournalDamaged
from helix_ray.journal.sqlite import SqliteJournal
from helix_ray.ports import Snapshot

KEY = b"k" * 32
SEALED = 1 << 10
APPENDS = 3
ERASED = (5, SEALED + 1)
NOTHING, NEVER = 1 << 60, 1e18


@dataclass
class Told:
    """What was acknowledged: facts up to `seq`, of `asked`, and whether some are erased; if a sync failed."""

    seq: int = 0
    asked: int = 0
    erased: bool = False
    failed: bool = False


def fact(seq: int) -> Fact:
    """Return a fact."""
    return Fact(seq, 1.0, "user-1", f"req-{seq}", TaskCompleted(f"task-{seq}", 1, {"n": seq}))


def append(journal: SqliteJournal, told: Told, last: int) -> None:
    """Append the facts up to a seq."""
    told.asked = last
    journal.append([fact(seq) for seq in range(told.seq + 1, last + 1)])
    told.seq = last


def given(folder: Path, syncs: ctypes.c_int, fails_after: int) -> Told:
    """Open, append, snapshot, seal and erase; return what was acknowledged."""
    told = Told()
    syncs.value = fails_after
    journal = None
    try:
        journal = SqliteJournal(folder, KEY)
        append(journal, told, SEALED)
        for seq in range(SEALED + 1, SEALED + APPENDS + 1):
            append(journal, told, seq)
            journal.mark_head()
        journal.save_snapshot(Snapshot(told.seq, 1, {"seq": told.seq}))
        first = journal.sealing_due(0.0, NOTHING, NEVER)
        assert first == 1
        assert journal.adopt(journal.seal(first))
        while journal.clear_some():
            pass
        told.asked = told.seq + 1
        journal.erase(Fact(told.asked, 1.0, "user-1", "req", FactsErased([*ERASED], "asked for")))
        told.seq, told.erased = told.asked, True
    except (OSError, sqlite3.Error):
        told.failed = True
    finally:
        syncs.value = -1
        if journal is not None:
            with contextlib.suppress(OSError, sqlite3.Error):
                journal.close()
    return told


def check(folder: Path, told: Told) -> None:
    """Open it again: all that was acknowledged is there, unchanged, and what was erased is gone."""
    again = SqliteJournal(folder, KEY)
    assert again.head() in (told.seq, told.asked), again.head()
    assert again.verify() == again.head()
    last = SEALED + APPENDS
    was_erased = again.head() > last
    assert was_erased or not told.erased
    for found in again.read_after(0, last):
        if was_erased and found.seq in ERASED:
            assert isinstance(found.event, Erased)
        else:
            assert found == fact(found.seq)
    again.close()


def main(parent: Path) -> int:
    """Sweep over all syncs; return how many there are."""
    sealing.SEGMENT_LEVEL, sealing.SEGMENT_FACTS = SEALED.bit_length() - 1, SEALED
    syncs = ctypes.c_int.in_dll(ctypes.CDLL(None), "syncs_left")
    for number in range(1000):
        folder = parent / str(number)
        told = given(folder, syncs, number)
        try:
            check(folder, told)
        except (AssertionError, JournalDamaged) as error:
            raise AssertionError(f"sync {number}, {told}: {error}") from error
        if not told.failed:
            assert told.erased
            return number
    raise AssertionError("there is no end of syncs")


if __name__ == "__main__":
    print(main(Path(sys.argv[1])))
