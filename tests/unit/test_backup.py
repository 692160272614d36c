"""Backups are whole up to a seq, made beside a writer, checked before they are called
good, and never half there."""

from __future__ import annotations

import contextlib
import fcntl
import os
import resource
import shutil
import signal
import sqlite3
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner

from helix_ray.backup import BackupFailed, Manifest, back_up, restore, verify
from helix_ray.cli.main import app
from helix_ray.core.events import Fact, TaskCompleted, TaskReleased
from helix_ray.journal import copying, sealing
from helix_ray.journal.errors import JournalDamaged
from helix_ray.journal.sqlite import SqliteJournal
from helix_ray.ports import Snapshot
from helix_ray.security.keys import load_or_create_key
from tests.ray.signals import until

BATCH_FACTS = 50
CLI = [sys.executable, "-m", "helix_ray.cli.main"]


def quiet(what: str, share: float) -> None:
    """Say nothing."""


def facts(first: int, count: int) -> list[Fact]:
    return [Fact(i, 5.0, "user-1", "req-1", TaskReleased(f"task-{i}")) for i in range(first, first + count)]


def opened(data_dir: Path) -> SqliteJournal:
    """Open a journal as the master does."""
    ring = load_or_create_key(data_dir, "journal.key")
    load_or_create_key(data_dir)
    return SqliteJournal(data_dir, ring.secrets[ring.current])


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """A data directory of 2,000 facts that nobody has open."""
    folder = tmp_path / "data"
    journal = opened(folder)
    journal.append(facts(1, 2000))
    journal.close()
    return folder


@pytest.fixture
def copy(data: Path, tmp_path: Path) -> Path:
    """A backup of it."""
    back_up(data, tmp_path / "copy", quiet)
    return tmp_path / "copy"


@contextlib.contextmanager
def under_load(data_dir: Path) -> Iterator[list[tuple[int, float]]]:
    """Append batches one after the other until the block ends; gives (newest
    acknowledged seq, seconds) of each."""
    journal, done = opened(data_dir), threading.Event()
    acknowledged: list[tuple[int, float]] = []

    def write() -> None:
        while not done.is_set():
            started = time.monotonic()
            journal.append(facts(journal.head() + 1, BATCH_FACTS))
            acknowledged.append((journal.head(), time.monotonic() - started))

    thread = threading.Thread(target=write)
    thread.start()
    try:
        yield acknowledged
    finally:
        done.set()
        thread.join()
        journal.close()


def test_a_backup_beside_a_writer_is_a_whole_prefix(data: Path, tmp_path: Path) -> None:
    """It has all acknowledged before it began, in order, without a gap; the writer goes on meanwhile."""
    with under_load(data) as acknowledged:
        until(lambda: bool(acknowledged))
        before = acknowledged[-1][0]

        waited: list[str] = []

        def writer_goes_on(what: str, share: float) -> None:
            steps = len(acknowledged)
            until(lambda: len(acknowledged) > steps)
            waited.append(what)

        made = back_up(data, tmp_path / "copy", writer_goes_on)
    assert "copying" in waited
    assert before <= made.seq <= acknowledged[-1][0]
    assert verify(tmp_path / "copy", quiet) == made
    restore(tmp_path / "copy", tmp_path / "again", quiet)
    journal = opened(tmp_path / "again")
    assert journal.read_after(0, made.seq + 1) == facts(1, made.seq)
    assert journal.epoch > made.epoch
    # It goes on from there: the journal that it was made of is longer, which is no damage of this one.
    journal.append(facts(made.seq + 1, 3))
    journal.close()
    assert opened(tmp_path / "again").head() == made.seq + 3


def test_a_slow_backup_does_not_hold_the_log_up(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While it reads, 60 MB are written: the write-ahead log is folded in all
    along, and the copy is whole."""
    monkeypatch.setattr(copying, "FACTS_PER_STEP", 300)
    journal, sizes = opened(data), []
    large = TaskCompleted("task-1", 1, "x" * 50_000)

    def write(what: str, share: float) -> None:
        if what == "copying":
            head = journal.head()
            journal.append([Fact(seq, 5.0, "user-1", "req-1", large) for seq in range(head + 1, head + 151)])
            sizes.append((data / "journal.sqlite-wal").stat().st_size)

    made = back_up(data, tmp_path / "copy", write)
    assert len(sizes) >= 7
    assert max(sizes) < 24 << 20
    assert made.seq == 2000
    journal.close()


def test_facts_that_move_to_segments_meanwhile_are_in_the_copy(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Some were copied as rows before they moved, some were gone before they could be."""
    monkeypatch.setattr(copying, "FACTS_PER_STEP", 300)
    monkeypatch.setattr(sealing, "SEGMENT_LEVEL", 10)
    monkeypatch.setattr(sealing, "SEGMENT_FACTS", 1024)
    journal = opened(data)
    journal.append(facts(2001, 2500))
    journal.save_snapshot(Snapshot(4500, 1, {}))
    calls = 0

    def move(what: str, share: float) -> None:
        nonlocal calls
        calls += 1
        first = journal.sealing_due(0.0, 1 << 60, 1e18)
        if what == "copying" and calls % 2 == 0 and first is not None:
            journal.adopt(journal.seal(first))
            while journal.clear_some():
                pass

    made = back_up(data, tmp_path / "copy", move)
    assert made.seq == 4500
    assert len(list((tmp_path / "copy" / "segments").iterdir())) >= 2
    restore(tmp_path / "copy", tmp_path / "again", quiet)
    journal.close()
    journal = opened(tmp_path / "again")
    assert journal.read_after(0, 5000) == facts(1, 4500)
    journal.close()


def test_all_of_it_is_its_users_alone(copy: Path, tmp_path: Path) -> None:
    """0700 and 0600 under umask 000, in the backup and in what is restored."""
    before = os.umask(0)
    try:
        restore(copy, tmp_path / "again", quiet)
    finally:
        os.umask(before)
    for folder in (copy, tmp_path / "again"):
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700
        assert {stat.S_IMODE(path.stat().st_mode) for path in folder.iterdir()} == {0o600}
    kept = {path.name for path in copy.iterdir()}
    assert kept == {"journal.sqlite", "HEAD", "jwt.key", "journal.key", "backup.json"}


# -------------------------------------------------------------------------------------------- what is refused


def spoil_a_row(folder: Path) -> None:
    with sqlite3.connect(folder / "journal.sqlite") as con:
        con.execute("UPDATE facts SET subject = 'mallory' WHERE seq = 7")
    con.close()


def cut_the_end(folder: Path) -> None:
    with sqlite3.connect(folder / "journal.sqlite") as con:
        con.execute("DELETE FROM facts WHERE seq > 1990")
    con.close()


def cut_the_file(folder: Path) -> None:
    path = folder / "journal.sqlite"
    os.truncate(path, path.stat().st_size // 2)


def empty_the_file(folder: Path) -> None:
    os.truncate(folder / "journal.sqlite", 0)


def drop(name: str) -> Callable[[Path], None]:
    return lambda folder: (folder / name).unlink()


def another_key(folder: Path) -> None:
    (folder / "journal.key").unlink()
    load_or_create_key(folder, "journal.key")


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (spoil_a_row, "one of facts 1 to 256 was changed after it was written"),
        (cut_the_end, "facts 1991 to 2000"),
        (cut_the_file, "SQLite"),
        (empty_the_file, "does not contain a journal"),
        (drop("HEAD"), "does not match fact"),
        (drop("journal.key"), "journal.key is missing"),
        (drop("backup.json"), "not a complete backup"),
        (another_key, "signed with another key"),
    ],
)
def test_a_damaged_backup_is_not_restored(
    copy: Path, tmp_path: Path, damage: Callable[[Path], None], said: str
) -> None:
    """The chain, HEAD and the manifest find it, and the data directory is not made."""
    damage(copy)
    with pytest.raises(BackupFailed, match=said):
        restore(copy, tmp_path / "again", quiet)
    assert not (tmp_path / "again").exists()


@pytest.mark.parametrize(
    ("damage", "said"), [(spoil_a_row, "one of facts 1 to 256"), (cut_the_end, "facts 1991 to 2000")]
)
def test_a_damaged_journal_makes_no_backup(
    data: Path, tmp_path: Path, damage: Callable[[Path], None], said: str
) -> None:
    """What cannot be verified is not called a backup, and leaves nothing."""
    damage(data)
    with pytest.raises(BackupFailed, match=said):
        back_up(data, tmp_path / "copy", quiet)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["data"]


def test_folders_that_cannot_be_are_refused(data: Path, copy: Path, tmp_path: Path) -> None:
    """Where there is no journal, where something is in the way, and where a server runs."""
    with pytest.raises(BackupFailed, match="does not contain a journal"):
        back_up(tmp_path / "none", tmp_path / "other", quiet)
    with pytest.raises(BackupFailed, match="not empty"):
        back_up(data, copy, quiet)
    with pytest.raises(BackupFailed, match="not empty"):
        restore(copy, data, quiet)
    running = tmp_path / "running"
    running.mkdir()
    with (running / "up.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with pytest.raises(BackupFailed, match=r"a server is running on .* helix down"):
            restore(copy, running, quiet)


def test_a_full_disk_is_one_line_and_leaves_nothing(data: Path, tmp_path: Path) -> None:
    """The copy ends with exit code 1, its reason, and no folder."""

    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, resource.RLIM_INFINITY))

    done = subprocess.run(
        [*CLI, "backup", str(tmp_path / "copy"), "--data-dir", str(data)],
        preexec_fn=limit,
        capture_output=True,
        text=True,
    )
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith(f"helix backup: {data} could not be backed up: ")
    assert done.stderr.count("\n") == 1
    assert sorted(path.name for path in tmp_path.iterdir()) == ["data"]


# ------------------------------------------------------------------------------------------------ kill -9

STEPS_BEFORE_THE_END = """
import os, signal, sys
from pathlib import Path
from helix_ray import backup
left, work = int(sys.argv[1]), sys.argv[2]
def count(frame, event, argument):
    global left
    if event == "call" and frame.f_code.co_filename == backup.__file__:
        left -= 1
        if left < 0:
            os.kill(os.getpid(), signal.SIGKILL)
sys.setprofile(count)
getattr(backup, work)(Path(sys.argv[3]), Path(sys.argv[4]), lambda what, share: None)
sys.setprofile(None)
print("done")
"""


def killed_after(calls: int, work: str, source: Path, target: Path) -> bool:
    """Run one that is killed after so many calls of its functions; say whether it came to its end before."""
    words = [sys.executable, "-c", STEPS_BEFORE_THE_END, str(calls), work, str(source), str(target)]
    done = subprocess.run(words, capture_output=True, text=True)
    assert done.returncode in (0, -signal.SIGKILL), done.stderr
    return done.returncode == 0


def test_a_killed_backup_leaves_nothing_that_looks_good(data: Path, tmp_path: Path) -> None:
    """Killed at every step: there is a whole backup or no folder of that name; the next one
    takes what was left away."""
    target = tmp_path / "copy"
    calls = 0
    while not killed_after(calls, "back_up", data, target):
        if target.exists():
            assert verify(target, quiet).seq == 2000
            shutil.rmtree(target)
        for left in tmp_path.glob(".*partial"):
            # Only one that wants nothing but its name is taken, and it is whole.
            with contextlib.suppress(BackupFailed):
                assert restore(left, tmp_path / "again", quiet).seq == 2000
                shutil.rmtree(tmp_path / "again")
        calls += 3
    assert calls > 20
    assert verify(target, quiet).seq == 2000
    assert sorted(path.name for path in tmp_path.iterdir()) == ["copy", "data"]


def test_a_killed_restore_is_refused_by_the_start(copy: Path, tmp_path: Path) -> None:
    """Killed at every step: the folder is missing, or a start on it says that facts are
    missing, or it is whole."""
    calls, seen = 0, set()
    while not killed_after(calls, "restore", copy, tmp_path / f"again-{calls}"):
        seen.add(_started(tmp_path / f"again-{calls}"))
        calls += 3
    assert calls > 20
    assert _started(tmp_path / f"again-{calls}") == "whole"
    assert seen <= {"nothing", "refused", "whole"}
    assert "refused" in seen


def _started(folder: Path) -> str:
    if not (folder / "HEAD").exists():
        assert not (folder / "journal.sqlite").exists()
        return "nothing"
    if not (folder / "journal.key").exists():
        assert not (folder / "journal.sqlite").exists()
        return "refused"
    try:
        journal = opened(folder)
    except JournalDamaged:
        return "refused"
    head = journal.head()
    journal.close()
    assert head == 2000
    return "whole"


# ------------------------------------------------------------------------------------------------ the program


def test_the_program_says_how_far_it_came(data: Path, tmp_path: Path) -> None:
    """Both verbs print the seq; failures are one line and exit code 1."""
    runner = CliRunner()
    made = runner.invoke(app, ["backup", str(tmp_path / "copy"), "--data-dir", str(data)])
    assert (made.exit_code, made.stderr) == (0, "")
    assert "facts 1 to 2000" in made.stdout
    back = runner.invoke(app, ["restore", str(tmp_path / "copy"), "--data-dir", str(tmp_path / "again")])
    assert (back.exit_code, back.stderr) == (0, "")
    assert "facts 1 to 2000" in back.stdout
    failed = runner.invoke(app, ["restore", str(tmp_path / "copy"), "--data-dir", str(data)])
    assert failed.exit_code == 1
    assert failed.stdout == ""
    assert (
        failed.stderr
        == f"helix restore: {data} is not empty: give the name of a folder that does not exist\n"
    )


def test_progress_tells_what_and_how_much(data: Path, tmp_path: Path) -> None:
    """Shares rise from 0 to 1 within a stage."""
    heard: list[tuple[str, float]] = []
    journal = opened(data)
    journal.append(facts(2001, 30_000))
    journal.close()
    made = back_up(data, tmp_path / "copy", lambda what, share: heard.append((what, share)))
    assert isinstance(made, Manifest)
    assert {what for what, _ in heard} == {"copying", "checking"}
    shares = [share for what, share in heard if what == "checking"]
    assert shares == sorted(shares)
    assert all(0 <= share <= 1 for _, share in heard)
