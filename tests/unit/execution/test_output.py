"""What a function writes is in its attempt's log, whoever wrote it and however it ended."""

from __future__ import annotations

import os
import signal
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from helix_ray.execution.assignment import Cancel
from helix_ray.execution.log import OUTPUT_TAIL_BYTES_MAX, log_path, tail_text
from helix_ray.execution.spool import name_spools
from tests.time_limits import with_time_enough
from tests.unit.execution.printing_functions import ENDS, WAYS

WHOLE = "before\nmiddle\nbehind"
REASONS = {"return": None, "raise": "failed", "cancel": "cancelled", "timeout": "timeout"}


_numbers = count(1)


def call(name: str, *args: Any) -> dict[str, Any]:
    return {"kind": "function", "function": f"printing_functions:{name}", "args": list(args)}


def ended(node: Any, end: str, run: dict[str, Any]) -> tuple[str, Any]:
    """Run it to its end; return the task's id and the outcome."""

    def attempt(timeout_s: float | None) -> tuple[str, Any]:
        if node.spent is not None:
            node.replace()
        task_id = f"task-{next(_numbers)}"
        node.submit(task_id, run, timeout_s=timeout_s)
        if end == "cancel":
            node.wait(lambda: node.progress(task_id))
            node.send(Cancel(task_id, 1))
        return task_id, node.finished(task_id).outcome

    if end == "timeout":
        return with_time_enough(attempt, lambda made: bool(node.progress(made[0])))
    return attempt(None)


def log_of(node: Any, task_id: str) -> str:
    return log_path(node.log_dir, task_id, 1).read_bytes().decode()


@pytest.mark.parametrize("end", ENDS)
@pytest.mark.parametrize("way", WAYS)
def test_all_that_is_written_is_in_the_log_in_order(slot: Any, way: str, end: str) -> None:
    """Prints, C code, children and threads, by return, exception, cancel and timeout; the next attempt's
    prints are its own."""
    task_id, outcome = ended(slot, end, call("write", way, end))
    assert (outcome.error.reason if outcome.error else None) == REASONS[end]
    assert log_of(slot, task_id) == WHOLE
    assert (outcome.output_tail, outcome.log_bytes) == (WHOLE, len(WHOLE))
    after, _ = ended(slot, "return", call("write", "print", "return"))
    assert log_of(slot, after) == WHOLE


def test_stdout_is_a_whole_text_file(slot: Any) -> None:
    """It has what a script finds: buffer, descriptor, encoding, line buffering."""
    _, outcome = ended(slot, "return", call("describe_stdout"))
    assert outcome.result == {
        "encoding": "utf-8",
        "fileno": [1, 2],
        "isatty": [False, False],
        "line_buffering": True,
        "writable": [True, False, False],
        "name": ["<stdout>", "<stderr>"],
        "is text": True,
        "buffer": True,
    }


def test_closing_it_harms_no_other_attempt(slot: Any) -> None:
    """The streams and descriptors of one attempt are its own."""
    _, outcome = ended(slot, "return", call("close_both"))
    assert outcome.ok
    task_id, _ = ended(slot, "return", call("write", "descriptor 1", "return"))
    assert log_of(slot, task_id) == WHOLE


def test_what_is_left_writes_into_no_other_log(slot: Any) -> None:
    """A child that outlives its function is gone before the next one's log begins."""
    first, _ = ended(slot, "return", call("leave_a_writer"))
    second, _ = ended(slot, "return", {**call("write", "subprocess", "return")})
    assert (log_of(slot, first), log_of(slot, second)) == ("mine\n", WHOLE)


def test_a_killed_process_loses_nothing_that_was_written(node: Any) -> None:
    """It stays in C code and holds the interpreter's lock; its log can be read before and after it is
    killed, and nothing of its own is left."""
    node.submit("stuck", call("write_and_stay_in_c"))
    node.wait(lambda: node.progress("stuck"))
    path = log_path(node.log_dir, "stuck", 1)
    assert not path.exists()
    name_spools(node.log_dir)
    assert path.read_text() == "one\ntwo\nthree\n"
    os.kill(node.process.pid, signal.SIGKILL)
    node.process.wait()
    name_spools(node.log_dir)
    assert path.read_text() == "one\ntwo\nthree\n"
    assert os.listdir(f"{node.log_dir}.open") == []


def test_a_log_that_cannot_be_written_stops_no_function(node: Any) -> None:
    """The function runs; what it prints is nowhere."""
    Path(f"{node.log_dir}.open").write_text("a file where a folder should be")
    assert node.run("task", call("write", "print", "return")).ok


@pytest.mark.parametrize("cut", range(4))
def test_a_tail_starts_with_a_whole_character(cut: int) -> None:
    """Where the end of the output is cut within one, its rest is left out."""
    output = ("😀" * OUTPUT_TAIL_BYTES_MAX + "x" * cut).encode()
    tail = tail_text(output[-OUTPUT_TAIL_BYTES_MAX:])
    assert set(tail) <= {"😀", "x"}
    assert len(tail.encode()) > OUTPUT_TAIL_BYTES_MAX - 4
