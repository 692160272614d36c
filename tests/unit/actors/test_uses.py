"""The file of the counts: what cannot be written is owed, nobody waits for it, and nothing of it is lost."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest

from actors.uses import AGAIN_S, UseStore
from helix_ray.core.limits import UsageRow


class _Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def test_what_cannot_be_saved_is_saved_later_and_said_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """A folder that is away stands for a disk that cannot be written."""
    caplog.set_level(logging.INFO)
    path, clock = tmp_path / "away" / "limits.sqlite", _Clock()
    store = UseStore(path, clock)
    assert store.load() == []
    for units in range(1, 6):
        clock.now += AGAIN_S
        store.save([UsageRow("user:ada", 10.0, units)])
    assert store.hindrance
    path.parent.mkdir()
    store.save([UsageRow("user:bob", 11.0, 1)])
    assert store.hindrance, "between two tries nothing is tried"
    clock.now += AGAIN_S
    store.save([])
    assert store.hindrance is None
    store.close()
    assert sorted(UseStore(path).load()) == [UsageRow("user:ada", 10.0, 5), UsageRow("user:bob", 11.0, 1)]
    said = [record.message for record in caplog.records]
    assert sum("counting requests in memory" in line for line in said) == 1
    assert sum("written again" in line for line in said) == 1


def test_rows_are_taken_back_and_swept(tmp_path: Path) -> None:
    """A row without units is gone, and so are rows from before the window."""
    path = tmp_path / "limits.sqlite"
    store = UseStore(path)
    store.load()
    store.save([UsageRow("a", 1.0, 1), UsageRow("b", 5.0, 2), UsageRow("c", 6.0, 3)])
    store.save([UsageRow("b", 5.0, 0)], before=2.0)
    store.close()
    assert UseStore(path).load() == [UsageRow("c", 6.0, 3)]


def test_a_file_that_is_damaged_while_it_is_used_is_begun_anew(tmp_path: Path) -> None:
    """It is set aside, and counting goes on."""
    path = tmp_path / "limits.sqlite"
    path.write_bytes(b"no database" * 1000)
    store = UseStore(path)
    assert store.load() == []
    store.save([UsageRow("a", 1.0, 1)])
    assert store.hindrance is None
    store.close()
    assert UseStore(path).load() == [UsageRow("a", 1.0, 1)]
