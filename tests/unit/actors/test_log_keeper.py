"""The logs of a node: read in pieces, packed, and removed within limits."""

from __future__ import annotations

import os
import random
from dataclasses import replace
from pathlib import Path

import pytest

from actors.attempt_log import has_log, read_piece, read_yielded, with_last_output
from actors.erased_here import remove_logs
from actors.log_keeper import LogKeeper
from helix_ray.core.orders import AttemptReport
from helix_ray.core.specs import TaskError
from helix_ray.execution.item_file import items_path
from helix_ray.execution.log import log_path
from helix_ray.execution.packed_log import disk_bytes, packed_path

NOISE = random.Random(3)
MB = 1 << 20


def write(folder: Path, name: str, size: int, written_at: float = 1_000.0) -> Path:
    path = log_path(str(folder), name, 1)
    path.write_bytes(NOISE.randbytes(size))
    os.utime(path, (written_at, written_at))
    return path


def keeper(
    folder: Path,
    keep_s: float = 1e9,
    log_bytes_max: int = 4 * MB,
    logs_bytes_max: int = 1 << 40,
    yields_bytes_max: int = 1 << 40,
) -> LogKeeper:
    return LogKeeper(folder, keep_s, log_bytes_max, logs_bytes_max, yields_bytes_max)


def followed(folder: Path, written: bytes, step: int) -> str:
    """Read while it is written, `step` bytes at a time."""
    path = log_path(str(folder), "task-1", 1)
    text, offset = "", 0
    for at in range(0, len(written), step):
        with path.open("ab") as file:
            file.write(written[at : at + step])
        piece = read_piece(folder, "task-1", 1, offset, 1000, False, over=False)
        text, offset = text + piece["text"], piece["next_offset"]
    while True:
        piece = read_piece(folder, "task-1", 1, offset, 1000, False, over=True)
        text, offset = text + piece["text"], piece["next_offset"]
        if piece["eof"]:
            return text


@pytest.mark.parametrize("step", [1, 2, 3, 5, 7, 997])
def test_characters_come_whole_to_a_follower(tmp_path: Path, step: int) -> None:
    """Whatever a read cuts, at the end of what is written and at the limit of a piece."""
    text = "aü€😀\n" * 700
    assert followed(tmp_path, text.encode(), step) == text


@pytest.mark.parametrize("end", [b"\xe2", b"\xf0\x9f\x98", b"\xff", b"\xe2x"])
def test_what_is_no_character_is_shown_at_the_end(tmp_path: Path, end: bytes) -> None:
    """Half a character is waited for as long as it can be completed, and no longer."""
    text = followed(tmp_path, b"x" * 999 + end, 1000)
    assert text == "x" * 999 + end.decode(errors="replace")


def test_raw_pieces_are_the_bytes(tmp_path: Path) -> None:
    """Every byte is there, and no byte is waited for."""
    path = log_path(str(tmp_path), "task-1", 1)
    path.write_bytes(bytes(range(256)))
    piece = read_piece(tmp_path, "task-1", 1, 100, 1000, True, over=False)
    assert piece["text"].encode("latin-1") == bytes(range(100, 256))
    assert piece["next_offset"] == 256


def test_a_line_like_our_notice_is_data(tmp_path: Path) -> None:
    """Nothing in a log is read as ours."""
    line = "[helix: 100 bytes of older output were removed here]\n"
    log_path(str(tmp_path), "task-1", 1).write_text(line)
    piece = read_piece(tmp_path, "task-1", 1, 0, 1000, False, over=True)
    assert (piece["text"], piece["offset"], piece["cut_bytes"]) == (line, 0, 0)


def test_a_log_is_cut_while_it_runs_and_packed_when_it_has_ended(tmp_path: Path) -> None:
    """It is within its limit both times; the piece behind the gap says where it begins."""
    path = write(tmp_path, "task-1", 20 * MB)
    tended = keeper(tmp_path)
    tended.tend([("task-1", 1), ("task-2", 1)])
    assert disk_bytes(path) <= 5 * MB
    tended.tend([])
    assert disk_bytes(path) <= 4.1 * MB
    assert path.stat().st_blocks * 512 < MB
    piece = read_piece(tmp_path, "task-1", 1, 10 * MB, 1000, True, over=True)
    assert piece["offset"] >= 18 * MB
    assert piece["cut_bytes"] >= 15 * MB
    assert has_log(tmp_path, "task-1", 1)
    assert not has_log(tmp_path, "task-2", 1)


def test_logs_that_are_old_go_with_what_was_packed(tmp_path: Path) -> None:
    """By their last line; a running one stays."""
    old = write(tmp_path, "old", MB)
    packed_path(old).write_bytes(b"")
    kept = [write(tmp_path, "quiet", MB), write(tmp_path, "young", MB, 9_000.0)]
    assert keeper(tmp_path, keep_s=5_000).sweep([("quiet", 1)], 10_000.0) == 1
    assert sorted(tmp_path.glob("*.log")) == kept
    assert not packed_path(old).exists()


def test_the_oldest_logs_go_first_and_running_ones_never(tmp_path: Path) -> None:
    """All together take no more than the node's limit, what is running aside."""
    for number in range(6):
        write(tmp_path, f"task-{number}", MB, 1_000.0 + number)
    limited = keeper(tmp_path, logs_bytes_max=3 * MB + MB // 2)
    assert limited.sweep([("task-0", 1)], 2_000.0) == 3
    assert sorted(path.name for path in tmp_path.glob("*.log")) == [f"task-{n}.1.log" for n in (0, 4, 5)]


def test_what_was_yielded_goes_by_age_and_within_its_own_limit(tmp_path: Path) -> None:
    """The oldest first, that of running attempts never, and no log goes for it."""
    for number in range(5):
        path = items_path(str(tmp_path), f"task-{number}", 1)
        path.write_bytes(NOISE.randbytes(MB))
        os.utime(path, (1_000.0 + number, 1_000.0 + number))
    logs = [write(tmp_path, f"task-{number}", MB, 1_500.0) for number in range(5)]

    def left() -> list[str]:
        return sorted(path.name for path in tmp_path.glob("*.items"))

    limited = keeper(tmp_path, yields_bytes_max=3 * MB)
    assert limited.sweep([("task-0", 1)], 2_000.0) == 2
    assert left() == [f"task-{n}.1.items" for n in (0, 3, 4)]
    assert sorted(tmp_path.glob("*.log")) == logs
    assert keeper(tmp_path, keep_s=997.5).sweep([("task-0", 1)], 2_001.0) == 1
    assert left() == ["task-0.1.items", "task-4.1.items"]


def test_what_was_yielded_is_erased_with_the_log(tmp_path: Path) -> None:
    """Nothing of an erased task stays on its node."""
    items_path(str(tmp_path), "task-1", 1).write_bytes(b"secret")
    kept = items_path(str(tmp_path), "task-11", 1)
    kept.write_bytes(b"")
    write(tmp_path, "task-1", MB)
    assert remove_logs(tmp_path, {"task-1"}) == 2
    assert list(tmp_path.iterdir()) == [kept]


def test_pieces_of_what_was_yielded(tmp_path: Path) -> None:
    """By offset; the end is only known when the attempt is over."""
    items_path(str(tmp_path), "task-1", 1).write_bytes(b"0123456789")

    def piece(offset: int, limit: int, *, over: bool) -> tuple[bytes, int, bool]:
        view = read_yielded(tmp_path, "task-1", 1, offset, limit, over=over)
        return view["data"], view["next_offset"], view["eof"]

    assert piece(0, 4, over=True) == (b"0123", 4, False)
    assert piece(4, 100, over=True) == (b"456789", 10, True)
    assert piece(10, 100, over=False) == (b"", 10, False)
    assert read_yielded(tmp_path, "task-2", 1, 0, 100, over=True)["eof"]


def test_the_end_of_what_was_written_goes_into_the_error_of_a_killed_attempt(tmp_path: Path) -> None:
    """The last 4 KiB, also of a packed log; other reports are left as they are."""
    path = log_path(str(tmp_path), "task-1", 1)
    path.write_bytes(b"x" * 3 * MB + b"the last words\n")
    keeper(tmp_path, log_bytes_max=MB).tend([("task-1", 1)])
    keeper(tmp_path, log_bytes_max=MB).sweep([], 2_000.0)
    error: TaskError = {"reason": "timeout", "type": "TimedOut", "message": "timed out after 1.0 s"}
    killed = AttemptReport("task-1", 1, "failed", error=error)
    said = with_last_output(killed, tmp_path).error
    assert said is not None
    assert len(said["output_tail"]) == 4096
    assert said["output_tail"].endswith("xthe last words\n")
    for other in (replace(killed, task_id="task-2"), AttemptReport("task-1", 1, "completed")):
        assert with_last_output(other, tmp_path) is other
