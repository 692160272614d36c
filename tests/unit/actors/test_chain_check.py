"""The running server checks all facts of its journal, and says so."""

from __future__ import annotations

import asyncio
import sqlite3
import time
from pathlib import Path

from actors.chain_check import ChainCheck
from helix_ray.core.events import Fact, TaskCompleted
from helix_ray.core.posture import JournalCheck
from helix_ray.journal.checked import read_check, write_check
from helix_ray.journal.sqlite import FILE_NAME, SqliteJournal
from helix_ray.security.keys import load_or_create_key

DAY_S = 86_400.0
FACTS = 300


def made(data: Path) -> None:
    """Make a journal of some facts."""
    ring = load_or_create_key(data, "journal.key")
    journal = SqliteJournal(data, ring.secrets[ring.current])
    journal.append(
        [Fact(n, 1.0, "user-1", "req-1", TaskCompleted("task-1", 1, "x")) for n in range(1, 1 + FACTS)]
    )
    journal.close()


def test_a_check_is_kept_and_not_repeated_too_soon(tmp_path: Path) -> None:
    """The time since the last check counts across restarts; one in the future does not put it off."""
    made(tmp_path)
    asyncio.run(ChainCheck(tmp_path, DAY_S).check_if_due())
    first = read_check(tmp_path)
    assert first is not None
    assert (first.facts, first.damage) == (FACTS, None)
    asyncio.run(ChainCheck(tmp_path, DAY_S).check_if_due())
    assert read_check(tmp_path) == first
    for at in (time.time() - 2 * DAY_S, time.time() + DAY_S):
        write_check(tmp_path, JournalCheck(at, 1))
        asyncio.run(ChainCheck(tmp_path, DAY_S).check_if_due())
        again = read_check(tmp_path)
        assert again is not None
        assert again.facts == FACTS


def test_a_changed_fact_is_found(tmp_path: Path) -> None:
    made(tmp_path)
    with sqlite3.connect(tmp_path / FILE_NAME) as con:
        con.execute("UPDATE facts SET at = 2.0 WHERE seq = 7")
    con.close()
    ChainCheck(tmp_path, DAY_S).check()
    found = read_check(tmp_path)
    assert found is not None
    assert found.damage is not None
    assert "changed" in found.damage or "differ" in found.damage


def test_what_cannot_be_read_is_no_check(tmp_path: Path) -> None:
    """Without a journal, or with a file that is locked, nothing is said of it."""
    ChainCheck(tmp_path, DAY_S).check()
    assert read_check(tmp_path) is None
