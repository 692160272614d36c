"""The history of a disk that is full or cannot be written: it answers, and nothing of it is lost."""

from __future__ import annotations

import os
import resource
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import duckdb
import pytest

from helix_ray.views.file import is_given_up, says_damaged
from helix_ray.views.history import History
from helix_ray.views.pruning import HistoryLimits
from tests.unit.views.test_history import a_journal, feed, judge

LIMITS = HistoryLimits(keep_s=float("inf"), keep_bytes=1 << 40)
NOBODY = 65_534


@pytest.fixture
def path() -> Iterator[Path]:
    """A path that other users can follow, too: they may not enter pytest's folders."""
    with TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        yield Path(folder) / "h.duckdb"


@contextmanager
def no_larger_files() -> Iterator[None]:
    """Have every write fail that makes a file larger, as on a full disk."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@contextmanager
def written_by_nobody(path: Path) -> Iterator[None]:
    """Have a file that can be opened for reading only; the administrator may write any."""
    for file in path.parent.glob(f"{path.name}*"):
        file.chmod(0o444)
    me = os.geteuid()
    if me == 0:
        os.seteuid(NOBODY)
    try:
        yield
    finally:
        os.seteuid(me)
        for file in path.parent.glob(f"{path.name}*"):
            file.chmod(0o600)


def test_a_checkpoint_that_fails_costs_nothing(path: Path) -> None:
    """DuckDB gives the open file up. It is not damaged: it is opened again, answers, and goes on."""
    state, facts = a_journal(5)
    history = History(path)
    feed(history, facts, 100)
    with no_larger_files():
        with pytest.raises(duckdb.FatalException) as failed:
            history.prune(LIMITS, 0.0, 0)
        assert not says_damaged(failed.value)
        assert is_given_up(failed.value)
        with pytest.raises(duckdb.FatalException) as refused:
            history.bytes_used()
        assert is_given_up(refused.value)
        history.open_again()
        judge(history, state)
    assert history.unwritable is None
    history.prune(LIMITS, 0.0, 0)
    feed(history, facts, 100)
    judge(history, state)
    history.close()


def test_a_batch_that_finds_no_room_is_taken_in_later(path: Path) -> None:
    """The reason is what the system said."""
    state, facts = a_journal(2)
    history = History(path)
    history.ingest(facts[:200])
    with no_larger_files(), pytest.raises(duckdb.Error, match="File too large"):
        history.ingest(facts[200:])
    feed(history, facts, 500)
    judge(history, state)
    history.close()


def test_a_file_that_cannot_be_written_is_read(path: Path) -> None:
    """With the log of a kill, which cannot be folded into it. It takes in nothing until it can be written."""
    state, facts = a_journal(5)
    killed = History(path.with_name("killed"))
    feed(killed, facts, 100)
    for suffix in ("", ".wal"):
        # What a kill leaves is what is in the files.
        shutil.copy(path.with_name(f"killed{suffix}"), path.with_name(f"{path.name}{suffix}"))
    killed.close()
    with written_by_nobody(path):
        history = History(path)
        assert "Permission denied" in str(history.unwritable)
        assert history.through == len(facts)
        judge(history, state)
        assert history.audit_page(0, 0).startswith(b"[%d," % len(facts))
        with pytest.raises(OSError, match="Permission denied"):
            feed(history, facts, 100)
        history.open_again()
        assert history.unwritable is not None
        judge(history, state)
        history.close()
        history = History(path)
    history.open_again()
    assert history.unwritable is None
    feed(history, facts, 100)
    judge(history, state)
    history.close()


def test_a_rewrite_that_fails_leaves_the_file_open(path: Path) -> None:
    """Neither a draft nor a closed file is left behind."""
    state, facts = a_journal(5)
    history = History(path)
    feed(history, facts, 500)
    with no_larger_files(), pytest.raises(duckdb.Error):
        history.write_anew()
    judge(history, state)
    assert [each.name for each in path.parent.iterdir() if "anew" in each.name] == []
    history.write_anew()
    judge(history, state)
    history.close()


def test_one_that_can_be_opened_for_neither_raises_the_first_reason(path: Path) -> None:
    """And where it was open, later calls say that it has to be opened again."""
    history = History(path)
    kept = path.rename(path.with_name("kept"))
    path.symlink_to(path)
    with pytest.raises(duckdb.IOException, match="symbolic links"):
        history.open_again()
    with pytest.raises(duckdb.ConnectionException) as refused:
        history.bytes_used()
    assert is_given_up(refused.value)
    path.unlink()
    kept.rename(path)
    history.open_again()
    assert history.bytes_used() > 0
    history.close()
    history.close()
