"""The attempt's log file."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from helix_ray.execution.log import (
    OUTPUT_TAIL_BYTES_MAX,
    PACK_EVERY_BYTES,
    AttemptLog,
    log_path,
    tail_text,
)
from helix_ray.execution.packed_log import disk_bytes


@given(st.lists(st.binary(min_size=1, max_size=300), max_size=40))
def test_what_is_written_is_kept(tmp_path_factory: pytest.TempPathFactory, parts: list[bytes]) -> None:
    """Whatever is written is in the file; counts and tail agree."""
    log = AttemptLog(tmp_path_factory.mktemp("log") / "t.1.log")
    for part in parts:
        log.write(part)
    log.close()
    log.close()
    output = b"".join(parts)
    assert (log.written_bytes, log.failure) == (len(output), None)
    assert log.tail() == tail_text(output[-OUTPUT_TAIL_BYTES_MAX:])
    assert (log.path.read_bytes() if parts else b"") == output


def test_what_is_written_fast_is_packed_meanwhile(tmp_path: Path) -> None:
    """The disk holds no more than the limit and what is packed at a time, however much is written."""
    log = AttemptLog(tmp_path / "t.1.log", 4 << 20)
    block = random.Random(1).randbytes(64 << 10)
    for _ in range(640):
        log.write(block)
        assert disk_bytes(log.path) < (4 << 20) + 2 * PACK_EVERY_BYTES
    log.close()
    assert log.written_bytes == log.path.stat().st_size == 40 << 20


def test_a_log_that_cannot_be_written_stops_nothing(tmp_path: Path) -> None:
    """Trouble with the file is remembered; the tail goes on."""
    (tmp_path / "taken").write_text("a file where a folder should be")
    log = AttemptLog(tmp_path / "taken" / "t.1.log")
    log.write(b"one ")
    log.write(b"two")
    assert isinstance(log.failure, OSError)
    assert log.tail() == "one two"


def test_logs_are_for_the_owner_only(tmp_path: Path) -> None:
    """Folder and file are closed to other users."""
    log = AttemptLog(log_path(str(tmp_path / "logs"), "task-1", 2))
    log.write(b"x")
    log.close()
    assert log.path.name == "task-1.2.log"
    assert (log.path.stat().st_mode & 0o777, log.path.parent.stat().st_mode & 0o777) == (0o600, 0o700)


@pytest.mark.parametrize("task_id", ["../x", "a/b", "", ".", "..", "a\n"])
def test_ids_that_are_no_file_names(task_id: str) -> None:
    """An id cannot lead out of the folder."""
    with pytest.raises(ValueError, match="not a valid name"):
        log_path("/tmp", task_id, 1)
