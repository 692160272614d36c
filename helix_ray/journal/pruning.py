"""Removes rows of the side table `authors` that no fact in the file names any more; segments have their own.

    1. remember  between two transactions, which numbers the writer may still give to facts
    2. find      numbers below the highest that are neither among these nor named by a row; this runs beside
                 the writer of the journal
    3. remove    delete their rows, some at a time, between commits

A number that the writer does not remember is never given to a fact again, so what step 2 finds stays unnamed,
whatever is appended meanwhile. The highest number stays, since SQLite continues from it: readers that cached
an author never see its number with another. A kill leaves rows for the next time.
"""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

from helix_ray.journal.layout import connect

# Finding reads every row of the file, so it waits for this many authors.
AUTHORS_PER_PRUNING = 4096
FACTS_PER_STEP = 5_000
AUTHORS_PER_REMOVAL = 512


class Remembered(NamedTuple):
    """The numbers that facts may still get, the highest number of all, and the newest fact."""

    numbers: frozenset[int]
    highest: int
    head: int


def highest(con: sqlite3.Connection) -> int:
    """Return the highest number of an author, 0 without one."""
    return int(con.execute("SELECT coalesce(max(id), 0) FROM authors").fetchone()[0])


def unnamed(path: Path, remembered: Remembered) -> list[int]:
    """Return the authors that no fact names and none will, over a separate connection; `path` is the
    journal's file.

    The facts are read in steps, each a transaction, so that the WAL can be checkpointed.
    """
    with contextlib.closing(connect(path, "ro")) as con:
        found = con.execute("SELECT id FROM authors WHERE id < ?", (remembered.highest,)).fetchall()
        left = {number for (number,) in found} - remembered.numbers
        first = con.execute("SELECT coalesce(min(seq), ?) FROM facts", (remembered.head + 1,)).fetchone()[0]
        for after in range(first - 1, remembered.head, FACTS_PER_STEP):
            rows = con.execute(
                "SELECT DISTINCT author FROM facts WHERE seq > ? AND seq <= ? AND author IS NOT NULL",
                (after, after + FACTS_PER_STEP),
            )
            left.difference_update([number for (number,) in rows.fetchall()])
    return sorted(left)


def remove(con: sqlite3.Connection, numbers: Iterable[int]) -> None:
    """Delete authors, in the open transaction."""
    con.executemany("DELETE FROM authors WHERE id = ?", [(number,) for number in numbers])


def portions(numbers: Sequence[int]) -> list[Sequence[int]]:
    """Return the numbers in portions of AUTHORS_PER_REMOVAL, one for each transaction."""
    return [numbers[at : at + AUTHORS_PER_REMOVAL] for at in range(0, len(numbers), AUTHORS_PER_REMOVAL)]
