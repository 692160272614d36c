"""Appends to a journal whose n-th sync fails, for n from 0 until all succeed; what was acknowledged must be
there. Runs under failing_sync.c: `python failing_sync.py FOLDER`."""

from __future__ import annotations

import contextlib
import ctypes
import sqlite3
import sys
from pathlib import Path

from helix_ray.core.events import Fact, TaskReleased
from helix_ray.journal.errors import JournalDamaged
from helix_ray.journal.sqlite import SqliteJournal
from helix_ray.ports import Snapshot

KEY = b"k" * 32
APPENDS = 3


def given(folder: Path, syncs: ctypes.c_int, fails_after: int) -> tuple[int, bool]:
    """Open, append and snapshot; return what was acknowledged, and whether a sync failed."""
    acknowledged = 0
    syncs.value = fails_after
    journal = None
    try:
        journal = SqliteJournal(folder, KEY)
        for seq in range(1, APPENDS + 1):
            journal.append([Fact(seq, 1.0, "user-1", f"req-{seq}", TaskReleased(f"task-{seq}"))])
            acknowledged = seq
            journal.mark_head()
        journal.save_snapshot(Snapshot(APPENDS, 1, {"seq": APPENDS}))
        return acknowledged, False
    except (OSError, sqlite3.Error):
        return acknowledged, True
    finally:
        syncs.value = -1
        if journal is not None:
            with contextlib.suppress(OSError, sqlite3.Error):
                journal.close()


def main(parent: Path) -> int:
    """Sweep over all syncs; return how many there are."""
    syncs = ctypes.c_int.in_dll(ctypes.CDLL(None), "syncs_left")
    for number in range(1000):
        folder = parent / str(number)
        acknowledged, failed = given(folder, syncs, number)
        try:
            again = SqliteJournal(folder, KEY)
        except JournalDamaged as damage:
            raise AssertionError(f"sync {number}: {damage}") from damage
        assert acknowledged <= again.head() <= acknowledged + 1, (number, acknowledged, again.head())
        assert again.verify() == again.head()
        again.close()
        if not failed:
            assert acknowledged == APPENDS
            return number
    raise AssertionError("there is no end of syncs")


if __name__ == "__main__":
    print(main(Path(sys.argv[1])))
