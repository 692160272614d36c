"""A journal whose disk says that there is room, and refuses all the same: a quota is waited
out, a broken disk is not."""

from __future__ import annotations

import contextlib
import errno
import os
import resource
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from actors.keeping import Keeping
from helix_ray.core.access import SYSTEM
from helix_ray.core.errors import ErrorCode, Rejected
from helix_ray.core.orders import Order, Receipt, SubmitTasks
from helix_ray.core.policy import Policy
from helix_ray.core.questions import ListTasks
from helix_ray.engine import Engine, JournalFailed
from helix_ray.journal import layout, room
from helix_ray.journal.reading import ReadingJournal
from helix_ray.journal.sqlite import SqliteJournal
from helix_ray.testing import ManualClock
from helix_ray.wire.ids import new_seed

SECRET = b"k" * 32
TASK = {"title": "t", "type": "planning", "priority": "high"}
LARGE = {**TASK, "description": "x" * 9000}
EXIT_OF_MASTER = 70
IO_ERROR = """
import asyncio, sqlite3
from actors.master import Master

async def work():
    raise sqlite3.OperationalError("disk I/O error")

asyncio.run(Master._or_end(None, work))
"""


@contextmanager
def files_up_to(size: int) -> Iterator[None]:
    """Let no file of this process grow beyond so many bytes: a limit that statvfs knows
    nothing of, as a quota is."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.fixture(autouse=True)
def hurried(monkeypatch: pytest.MonkeyPatch) -> None:
    """Try to take space at every look."""
    monkeypatch.setattr(room, "PROBE_EVERY_S", 0.0)


def life(data_dir: Path) -> tuple[Keeping, Engine]:
    """Begin what a master does between its start and its end."""
    keeping = Keeping(data_dir, 0)
    engine = Engine(keeping.open(SECRET), Policy(), ManualClock(), keeping.no_room)
    engine.recover()
    return keeping, engine


def give(engine: Engine, *tasks: dict[str, str]) -> Receipt | Rejected:
    """Submit tasks."""
    (answer,) = engine.execute([Order(SubmitTasks(tasks), SYSTEM, "req-test", new_seed())])
    return answer


@pytest.mark.parametrize(("left", "journal_is"), [(256 << 10, SqliteJournal), (48 << 10, ReadingJournal)])
def test_over_a_quota_reads_go_on(tmp_path: Path, left: int, journal_is: type) -> None:
    """The append that meets it ends the process; the next life reads, refuses with the reason,
    and records when it may."""
    keeping, engine = life(tmp_path)
    assert isinstance(give(engine, *[LARGE] * 8), Receipt)
    with files_up_to(left):
        with pytest.raises(JournalFailed):
            give(engine, *[LARGE] * 100)
        keeping.journal.close()
        keeping, engine = life(tmp_path)
        assert type(keeping.journal) is journal_is
        listed = engine.query(ListTasks(), SYSTEM)
        assert isinstance(listed, dict)
        assert listed["total"] == 8
        refused = give(engine, TASK)
        assert isinstance(refused, Rejected)
        assert (refused.code, refused.details["reason"]) == (ErrorCode.SERVICE_UNAVAILABLE, "quota")
        assert "quota" in str(keeping.hindrance())
    if (reopened := keeping.reopened()) is not None:
        keeping.take(reopened, engine)
    assert keeping.hindrance() is None
    assert isinstance(give(engine, TASK), Receipt)
    keeping.journal.close()


def test_a_user_over_quota_is_told_from_a_broken_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """EDQUOT hinders; EIO is none of what passes by itself, and is left to the journal's own checks."""
    taken: list[int] = []

    def refuse(handle: int, offset: int, size: int) -> None:
        raise OSError(taken[-1], os.strerror(taken[-1]))

    monkeypatch.setattr(os, "posix_fallocate", refuse)
    disk = room.DiskRoom(tmp_path, 0)
    taken.append(errno.EDQUOT)
    found = disk.look(probe=True)
    assert found is not None
    assert found.reason == "quota"
    taken.append(errno.EIO)
    assert disk.look(probe=True) is None
    assert not (tmp_path / room.PROBE_FILE).exists()


def test_an_input_output_error_ends_the_master() -> None:
    """Memory may be ahead of a disk that is broken: the process ends at once, and Ray starts it
    again from what is there."""
    ended = subprocess.run([sys.executable, "-c", IO_ERROR], capture_output=True, text=True, timeout=200)
    assert ended.returncode == EXIT_OF_MASTER
    assert "disk I/O error" in ended.stderr
    assert "the master exits and will be restarted" in ended.stderr


def test_a_start_on_a_broken_disk_is_tried_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is no lack of room, so it is neither hidden nor served from: it is the reason that /readyz says."""

    def broken(self: SqliteJournal, *_: object, **__: object) -> None:
        raise sqlite3.OperationalError("disk I/O error")

    monkeypatch.setattr(SqliteJournal, "__init__", broken)
    with pytest.raises(sqlite3.OperationalError, match="disk I/O error"):
        Keeping(tmp_path, 0).open(SECRET)


JOURNAL_FILES = ("journal.sqlite", "journal.sqlite-wal", "journal.sqlite-shm")


def displaced(engine: Engine, keeping: Keeping, reason: str) -> None:
    """Check that nothing is recorded, logins included, that the reason is said, and that reads go on."""
    refused = give(engine, TASK)
    assert isinstance(refused, Rejected)
    assert (refused.code, refused.details["reason"]) == (ErrorCode.SERVICE_UNAVAILABLE, reason)
    assert keeping.no_room(vital=True) == refused
    assert keeping.hindrance() is not None
    assert engine.query(ListTasks(), SYSTEM)["total"] == 1  # type: ignore[index]


def goes_on(engine: Engine, keeping: Keeping, folder: Path) -> None:
    """Check that a second task is recorded, and that the next start has both."""
    assert keeping.hindrance() is None
    assert isinstance(give(engine, TASK), Receipt)
    keeping.journal.close()
    keeping, engine = life(folder)
    assert engine.query(ListTasks(), SYSTEM)["total"] == 2  # type: ignore[index]
    keeping.journal.close()


@pytest.mark.parametrize("name", JOURNAL_FILES)
def test_a_file_of_the_journal_is_moved_away(tmp_path: Path, name: str) -> None:
    """The next order is refused instead of being written where nobody finds it, also when another file is in
    the place; moved back, the journal is written as before."""
    keeping, engine = life(tmp_path)
    assert isinstance(give(engine, TASK), Receipt)
    path, aside = tmp_path / name, tmp_path / "aside"
    path.rename(aside)
    displaced(engine, keeping, "journal_missing")
    path.write_bytes(aside.read_bytes())
    displaced(engine, keeping, "journal_replaced")
    aside.rename(path)
    goes_on(engine, keeping, tmp_path)


@pytest.mark.parametrize("left", [0.0, 0.5, 0.999])
def test_a_log_that_is_emptied_or_cut_is_not_written_on(tmp_path: Path, left: float) -> None:
    """SQLite would not notice, and a start would find nothing of what was written behind the hole. With its
    bytes put back, it is written as before."""
    keeping, engine = life(tmp_path)
    assert isinstance(give(engine, TASK), Receipt)
    # As the master looks after each commit.
    assert keeping.hindrance() is None
    path = tmp_path / "journal.sqlite-wal"
    whole = path.read_bytes()
    os.truncate(path, int(len(whole) * left))
    displaced(engine, keeping, "journal_cut")
    # As if a commit had been under way.
    os.truncate(path, len(whole) if left == 0.0 else int(len(whole) * left))
    displaced(engine, keeping, "journal_cut")
    with path.open("r+b") as file:
        file.write(whole)
    goes_on(engine, keeping, tmp_path)


def test_an_emptied_main_file_is_not_written_on(tmp_path: Path) -> None:
    """Whatever SQLite still has in memory."""
    keeping, engine = life(tmp_path)
    assert isinstance(give(engine, TASK), Receipt)
    whole = (tmp_path / "journal.sqlite").read_bytes()
    os.truncate(tmp_path / "journal.sqlite", 0)
    displaced(engine, keeping, "journal_cut")
    with (tmp_path / "journal.sqlite").open("r+b") as file:
        file.write(whole)
    assert isinstance(give(engine, TASK), Receipt)
    keeping.journal.close()


def test_a_log_whose_facts_are_in_the_main_file_is_not_written_on_while_it_is_read(tmp_path: Path) -> None:
    """Whoever reads it keeps SQLite from beginning at its front, so it would write behind the hole."""
    keeping, engine = life(tmp_path)
    assert isinstance(give(engine, TASK), Receipt)
    assert keeping.hindrance() is None
    with contextlib.ExitStack() as stack:
        reader, other = (
            stack.enter_context(contextlib.closing(sqlite3.connect(tmp_path / "journal.sqlite")))
            for _ in range(2)
        )
        reader.execute("BEGIN")
        reader.execute("SELECT max(seq) FROM facts").fetchone()
        other.execute("PRAGMA wal_checkpoint(PASSIVE)")
        os.truncate(tmp_path / "journal.sqlite-wal", 0)
        displaced(engine, keeping, "journal_cut")
    goes_on(engine, keeping, tmp_path)


def test_a_log_that_sqlite_empties_or_restarts_is_written_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By an erasure, and after each checkpoint that nobody's reading delays."""
    monkeypatch.setattr(layout, "CHECKPOINT_PAGES", 20)
    keeping, engine = life(tmp_path)
    log, restarts, salts = tmp_path / "journal.sqlite-wal", 0, b""
    for number in range(30):
        assert isinstance(give(engine, *[LARGE] * 50), Receipt)
        assert keeping.hindrance() is None
        before, salts = salts, log.read_bytes()[16:24]
        restarts += salts != before and before != b""
        if number % 10 == 5:
            assert keeping.journal.cut_log()
            assert log.stat().st_size == 0
            assert keeping.hindrance() is None
            salts = b""
    assert restarts > 10
    keeping.journal.close()


def test_a_deleted_journal_is_taken_from_its_process(tmp_path: Path) -> None:
    """As docs/operations.md says: the process has the files open, and what was acknowledged is in them."""
    keeping, engine = life(tmp_path)
    assert isinstance(give(engine, TASK), Receipt)
    opened = {Path(os.readlink(f"/proc/self/fd/{fd}")): fd for fd in os.listdir("/proc/self/fd")
              if os.path.lexists(f"/proc/self/fd/{fd}")}  # fmt: skip
    for name in JOURNAL_FILES:
        (tmp_path / name).unlink()
    displaced(engine, keeping, "journal_missing")
    copies = {name: Path(f"/proc/self/fd/{opened[tmp_path / name]}").read_bytes()
              for name in JOURNAL_FILES[:2]}  # fmt: skip
    keeping.journal.close()
    for name, data in copies.items():
        (tmp_path / name).write_bytes(data)
    keeping, engine = life(tmp_path)
    displaced_not = give(engine, TASK)
    assert isinstance(displaced_not, Receipt)
    assert engine.query(ListTasks(), SYSTEM)["total"] == 2  # type: ignore[index]
    keeping.journal.close()
