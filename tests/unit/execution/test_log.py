"""The attempt's log file."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from helix_ray.execution.log import OUTPUT_TAIL_BYTES_MAX, AttemptLog, log_path, marker


@given(st.lists(st.binary(min_size=1, max_size=300), max_size=40), st.integers(2, 400))
def test_the_newest_bytes_are_kept(
    tmp_path_factory: pytest.TempPathFactory, parts: list[bytes], cap: int
) -> None:
    """Whatever is written: the file is the marker and an end of the output, within
    the cap; the counts agree."""
    log = AttemptLog(tmp_path_factory.mktemp("log") / "t.1.log", cap)
    for part in parts:
        log.write(part)
    log.close()
    log.close()
    output = b"".join(parts)
    assert log.written_bytes == len(output)
    assert log.failure is None
    assert log.tail() == output[-OUTPUT_TAIL_BYTES_MAX:].decode(errors="replace")
    kept = log.path.read_bytes() if parts else b""
    if kept != output:
        head = next(marker(cut) for cut in range(1, len(output) + 1) if kept.startswith(marker(cut)))
        end = kept[len(head) :]
        assert output.endswith(end)
        assert head == marker(len(output) - len(end))
        assert len(end) <= cap
    else:
        assert len(output) <= cap


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
