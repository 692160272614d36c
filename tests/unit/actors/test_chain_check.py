"""The running server checks all facts of its journal in a process beside, and says so."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import sqlite3
import subprocess
import sys
import threading
import time
from pathlib import Path

import psutil
import pytest

from actors import chain_check
from actors.audit_check import compare_audit
from actors.chain_check import AuditSide, ChainCheck, check
from helix_ray.audit_compare import HISTORY_FILE
from helix_ray.checkpoints import UNMET_FILE, Checkpoint, CheckpointKeeper, origin_of
from helix_ray.core.events import Fact, TaskCompleted
from helix_ray.core.posture import AuditCheck, JournalCheck
from helix_ray.journal.sqlite import FILE_NAME, SqliteJournal
from helix_ray.journal.tree import StoredTree
from helix_ray.monitoring.checked import (
    FILE,
    read_check,
    read_comparison,
    write_check,
    write_comparison,
)
from helix_ray.security.keys import load_or_create_key
from tests.unit.audit_world import AuditWorld

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


def change(data: Path) -> None:
    """Change a fact."""
    with sqlite3.connect(data / FILE_NAME) as con:
        con.execute("UPDATE facts SET at = 2.0 WHERE seq = 7")
    con.close()


def test_each_start_checks_and_not_again_too_soon(tmp_path: Path) -> None:
    """Whatever a file says of the last check: somebody may have edited the journal since."""
    made(tmp_path)
    for at in (time.time(), time.time() - 2 * DAY_S, time.time() + DAY_S):
        write_check(tmp_path, JournalCheck(at, 1))
        running = ChainCheck(tmp_path, DAY_S)
        asyncio.run(running.check_if_due())
        first = read_check(tmp_path)
        assert first is not None
        assert (first.facts, first.damage) == (FACTS, None)
        asyncio.run(running.check_if_due())
        assert read_check(tmp_path) == first
    frequent = ChainCheck(tmp_path, 0.0)
    asyncio.run(frequent.check_if_due())
    change(tmp_path)
    asyncio.run(frequent.check_if_due())
    again = frequent.known()[0]
    assert again is not None
    assert again.damage is not None


def test_a_changed_fact_is_found_and_logged(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    made(tmp_path)
    change(tmp_path)
    with caplog.at_level(logging.CRITICAL):
        asyncio.run(ChainCheck(tmp_path, DAY_S).check_if_due())
    found = read_check(tmp_path)
    assert found is not None
    assert found.damage is not None
    assert "changed" in found.damage or "differ" in found.damage
    assert found.damage in caplog.text


def test_a_journal_that_is_doubtful_when_it_is_opened_is_checked_at_once(tmp_path: Path) -> None:
    """A master that was started again has found fewer facts than in the checkpoint."""
    made(tmp_path)
    running = ChainCheck(tmp_path, DAY_S)
    asyncio.run(running.check_if_due())
    with contextlib.closing(sqlite3.connect(tmp_path / FILE_NAME)) as con:
        origin = origin_of(StoredTree(con).leaf(1))
    CheckpointKeeper(tmp_path).keep(Checkpoint(origin, FACTS + 5, bytes(32)))
    (tmp_path / "checkpoint").rename(tmp_path / UNMET_FILE)
    asyncio.run(running.check_if_due())
    found = read_check(tmp_path)
    assert found is not None
    assert found.damage is not None
    assert f"facts {FACTS + 1} to {FACTS + 5} are missing" in found.damage
    asyncio.run(running.check_if_due())
    assert read_check(tmp_path) == found


def test_what_cannot_be_read_is_no_check(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Without a journal, or with a file that is locked, nothing is said of it but why."""
    asyncio.run(ChainCheck(tmp_path, DAY_S).check_if_due())
    assert read_check(tmp_path) is None
    assert "does not contain a journal" in caplog.text


def test_a_check_ends_with_the_process_that_started_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It says nothing of a journal that it has not read to the end."""
    made(tmp_path)
    pace = chain_check._Pace()
    monkeypatch.setattr(chain_check.os, "getppid", lambda: 1)
    with pytest.raises(SystemExit):
        check(tmp_path, pace.pause)
    assert read_check(tmp_path) is None


def test_a_check_that_is_called_off_leaves_no_process(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The historian's end kills it."""
    begun: list[subprocess.Popen[bytes]] = []

    def endless(*_: object, **options: object) -> subprocess.Popen[bytes]:
        begun.append(popen(("sleep", "60"), **options))  # type: ignore[call-overload]
        return begun[-1]

    async def called_off() -> None:
        checking = asyncio.ensure_future(ChainCheck(tmp_path, DAY_S).check_if_due())
        while not begun:
            await asyncio.sleep(0)
        checking.cancel()
        with pytest.raises(asyncio.CancelledError):
            await checking

    popen = subprocess.Popen
    monkeypatch.setattr(chain_check.subprocess, "Popen", endless)
    asyncio.run(called_off())
    assert begun[0].returncode < 0


async def look_twice(world: AuditWorld, told: list[AuditCheck]) -> ChainCheck:
    """Look whether it is to be compared, as a start does, and once more."""
    followed = threading.Event()
    followed.set()

    async def tell(found: JournalCheck | AuditCheck) -> None:
        if isinstance(found, AuditCheck):
            told.append(found)

    check = ChainCheck(world.data, DAY_S, AuditSide(world.history.audit_page, followed, tell))
    for _ in range(2):
        await check.check_if_due()
        await check._tell()
    return check


def test_a_file_does_not_say_that_the_audit_agrees(tmp_path: Path) -> None:
    """Whoever can edit the history can edit the file with the last result. Each start compares, whatever it
    says, and the journal gets only what a comparison of this start has found."""
    world = AuditWorld(tmp_path / "data", 3)
    world.acts(10)
    world.follow()
    write_check(world.data, JournalCheck(time.time(), world.seq))
    told: list[AuditCheck] = []
    asyncio.run(look_twice(world, told))
    world.history._con.execute("DELETE FROM audit WHERE seq = (SELECT max(seq) FROM audit)")
    write_comparison(world.data, AuditCheck(time.time(), world.seq, 10, 0, ""))
    asyncio.run(look_twice(world, told))
    assert [bool(found.difference) for found in told] == [False, True]
    world.close()


def forge(data: Path, name: str, **changes: object) -> None:
    """Edit a file of results by hand, without its key."""
    text, signature = (data / name).read_text().rsplit(" ", 1)
    (data / name).write_text(f"{json.dumps({**json.loads(text), **changes})} {signature}")


def test_a_file_that_was_edited_hides_no_damage(tmp_path: Path) -> None:
    """Whoever edits a fact and writes that all is well: the running server goes by what it has seen, and the
    next start by what it finds, also where the files as such are believed."""
    world = AuditWorld(tmp_path / "data", 3)
    world.acts(10)
    world.follow()
    followed, told = threading.Event(), list[JournalCheck | AuditCheck]()
    followed.set()

    async def tell(found: JournalCheck | AuditCheck) -> None:
        told.append(found)

    def started() -> ChainCheck:
        side = AuditSide(world.history.audit_page, followed, tell)
        check = ChainCheck(world.data, DAY_S, side)
        asyncio.run(check.check_if_due())
        asyncio.run(check._tell())
        return check

    running = started()
    assert [type(found) for found in told] == [JournalCheck, AuditCheck]
    change(world.data)
    forge(world.data, FILE, at=time.time())
    assert running.known()[0] == told[0]
    [damaged] = started().known()[:1]
    assert damaged is not None
    assert damaged.damage is not None
    assert told[2:] == [damaged]
    forge(world.data, FILE, damage=None)
    started()
    write_check(world.data, JournalCheck(time.time(), world.seq))
    believed = started()
    assert [isinstance(found, JournalCheck) and found.damage for found in told[2:]] == [damaged.damage] * 3
    write_check(world.data, JournalCheck(time.time(), world.seq))
    known = believed.known()[0]
    assert known is not None
    assert known.damage == damaged.damage
    world.close()


def test_the_audit_is_compared_beside_the_process_that_has_it(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """A record that was removed is found while the history is open, said once, and looked for again after
    each start, until the history is built anew."""
    world = AuditWorld(tmp_path / "data", 3)
    world.acts(10)
    world.follow()
    told: list[AuditCheck] = []

    def looks() -> None:
        asyncio.run(look_twice(world, told))

    looks()
    assert [(found.facts, found.difference) for found in told] == [(world.seq, "")]
    [(seq,)] = world.history._con.execute("SELECT max(seq) FROM audit").fetchall()
    world.history._con.execute("DELETE FROM audit WHERE seq = ?", [seq])
    looks()
    assert told[1:] == [told[1]]
    assert (told[1].place, f"from fact {seq} on, a record is missing" in told[1].difference) == (seq, True)
    assert told[1].difference in caplog.text
    world.close()
    (world.data / HISTORY_FILE).unlink()
    world = AuditWorld(tmp_path / "data", 3)
    world.follow()
    looks()
    assert (told[2].facts, told[2].difference) == (told[0].facts, "")
    world.close()


# Has a history, and says when it is asked for the records of facts, which it never gives.
OWNER = """
import sys, threading
from pathlib import Path
from actors.chain_check import *
from helix_ray.audit_compare import HISTORY_FILE
from helix_ray.views.history import History

def page(after, through):
    if through:
        print("asked", flush=True)
        sys.stdin.read()
    return history.audit_page(after, through)

data, followed = Path(sys.argv[1]), threading.Event()
history = History(data / HISTORY_FILE)
followed.set()
asyncio.run(ChainCheck(data, 1e6, AuditSide(page, followed, None)).check_if_due())
"""


def test_a_kill_of_the_owner_in_the_middle_says_nothing_of_the_audit(tmp_path: Path) -> None:
    """The process that compares ends with the one that has the history; the next one compares from the
    beginning, and finds no difference."""
    world = AuditWorld(tmp_path / "data", 3)
    world.acts(10)
    world.follow()
    world.close()
    command = [sys.executable, "-c", OWNER, str(world.data)]
    with subprocess.Popen(
        command, cwd=Path(__file__).parents[3], text=True,
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
    ) as owner:  # fmt: skip
        assert owner.stdout is not None
        assert owner.stdout.readline() == "asked\n"
        [comparing] = psutil.Process(owner.pid).children()
        owner.kill()
    comparing.wait(timeout=30.0)
    assert read_check(world.data) is not None
    assert read_comparison(world.data) is None
    again = AuditWorld(world.data, 3)
    told = asyncio.run(compared(again))
    assert (told.facts, told.difference) == (world.seq, "")
    again.close()


async def compared(world: AuditWorld) -> AuditCheck:
    """Return what a comparison beside this process finds."""
    told: list[AuditCheck] = []
    await look_twice(world, told)
    [found] = told
    return found


def test_a_damaged_journal_is_compared_with_nothing(tmp_path: Path) -> None:
    made(tmp_path)
    write_check(tmp_path, JournalCheck(1.0, 3, "one was changed"))
    assert compare_audit(tmp_path, lambda after, through: pytest.fail("asked")) is None
    write_check(tmp_path, JournalCheck(1.0, 3))
    (tmp_path / FILE_NAME).unlink()
    failed = compare_audit(tmp_path, lambda after, through: pytest.fail("asked"))
    assert failed is not None
    assert "does not contain a journal" in failed
    assert read_comparison(tmp_path) is None
