"""What can be made again is set aside where it is damaged, and left alone where it only cannot be opened."""

from __future__ import annotations

import contextlib
import os
import sqlite3
from pathlib import Path

import duckdb
import pytest

from actors.uses import UseStore
from helix_ray import derived
from helix_ray.core.limits import UsageRow
from helix_ray.journal.errors import JournalDamaged
from helix_ray.journal.sqlite import SqliteJournal
from helix_ray.views.file import open_history

KEY = b"k" * 32


def loop_in_place_of(path: Path) -> None:
    """Let the system refuse to open a path, for root too: it is a link to itself."""
    os.symlink(path, path)


def loaded(path: Path) -> list[UsageRow]:
    """Return what a quota server that starts on this file knows."""
    with contextlib.closing(UseStore(path)) as store:
        return store.load()


def asides(path: Path) -> list[Path]:
    return sorted(path.parent.glob(f"{path.name}{derived.ASIDE_SUFFIX}-*"))


@pytest.mark.parametrize("content", [b"garbage" * 1000, b"g" * 200])
def test_damaged_limits_are_set_aside_and_counting_begins_anew(tmp_path: Path, content: bytes) -> None:
    """The file is kept under another name, and requests are counted in a fresh one."""
    path = tmp_path / "limits.sqlite"
    path.write_bytes(content)
    store = UseStore(path)
    assert store.load() == []
    store.save([UsageRow("a", 1.0, 1)])
    store.close()
    assert loaded(path) == [UsageRow("a", 1.0, 1)]
    (aside,) = asides(path)
    assert aside.read_bytes() == content


def test_limits_of_another_layout_are_set_aside(tmp_path: Path) -> None:
    """A table that lacks a column is not half understood."""
    path = tmp_path / "limits.sqlite"
    with sqlite3.connect(path) as con:
        con.execute("CREATE TABLE uses (key TEXT)")
    con.close()
    assert loaded(path) == []
    assert len(asides(path)) == 1


def test_a_folder_in_the_place_of_the_limits_is_set_aside(tmp_path: Path) -> None:
    """Whatever it is, it is not the counts."""
    path = tmp_path / "limits.sqlite"
    path.mkdir()
    assert loaded(path) == []
    assert len(asides(path)) == 1


def test_limits_that_cannot_be_opened_for_now_stay(tmp_path: Path) -> None:
    """No permission, no room, no way there: counting goes on in memory, and nothing is renamed."""
    path = tmp_path / "limits.sqlite"
    loop_in_place_of(path)
    store = UseStore(path)
    assert store.load() == []
    assert "symbolic links" in str(store.hindrance)
    assert asides(path) == []


def test_a_history_that_cannot_be_opened_for_now_stays(tmp_path: Path) -> None:
    """The same for the history."""
    path = tmp_path / "history.duckdb"
    loop_in_place_of(path)
    with pytest.raises(duckdb.IOException):
        open_history(path)
    assert asides(path) == []


def test_a_history_with_a_changed_block_is_set_aside(tmp_path: Path) -> None:
    """DuckDB says `in block`, which has `lock` in it: that is damage, and no other process."""
    path = tmp_path / "history.duckdb"
    open_history(path).close()
    content = bytearray(path.read_bytes())
    content[12288:] = os.urandom(len(content) - 12288)
    path.write_bytes(content)
    open_history(path).close()
    assert len(asides(path)) == 1


def test_only_the_newest_few_are_kept(tmp_path: Path) -> None:
    """A file that is damaged again and again does not fill the disk; its log goes where it goes."""
    path = tmp_path / "limits.sqlite"
    for second in range(6):
        path.with_name(f"{path.name}{derived.ASIDE_SUFFIX}-20200101T00000{second}").touch()
    path.touch()
    path.with_name("limits.sqlite-wal").touch()
    derived.set_aside(path, "for a test")
    kept = [p for p in asides(path) if not p.name.endswith("-wal")]
    assert len(kept) == derived.ASIDE_KEPT_MAX
    assert kept[-1].with_name(kept[-1].name + "-wal").exists()
    assert not path.exists()


def test_a_journal_that_cannot_be_opened_for_now_is_not_damaged(tmp_path: Path) -> None:
    """The log of its database cannot be read: an error that may pass, and not the end of the journal."""
    SqliteJournal(tmp_path, KEY).close()
    wal = tmp_path / "journal.sqlite-wal"
    wal.unlink(missing_ok=True)
    wal.mkdir()
    with pytest.raises((sqlite3.OperationalError, OSError)):
        SqliteJournal(tmp_path, KEY)
    wal.rmdir()
    SqliteJournal(tmp_path, KEY).close()


def test_a_journal_with_foreign_bytes_is_damaged(tmp_path: Path) -> None:
    """What no later try would mend is JournalDamaged, as ever."""
    SqliteJournal(tmp_path, KEY).close()
    (tmp_path / "journal.sqlite").write_bytes(b"garbage" * 5000)
    with pytest.raises(JournalDamaged):
        SqliteJournal(tmp_path, KEY)
