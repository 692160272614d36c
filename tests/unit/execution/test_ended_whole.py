"""Nothing that a function started is alive once its end is reported, however it hides and however it ends."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from helix_ray.execution.assignment import Cancel
from helix_ray.execution.descendants import end_below, end_marked
from tests.endless_model import ENDLESS
from tests.ray.signals import until
from tests.time_limits import with_time_enough

NUMBERS = count()
ESCAPES = (
    "child",
    "session",
    "without_environment",
    "stubborn",
    "daemon",
    "line_of_a_shell",
    "grandchildren",
    "worker",
    "from_a_thread",
)


def call(name: str, *args: Any) -> dict[str, Any]:
    return {"kind": "function", "function": f"escaping_functions:{name}", "args": list(args)}


@pytest.fixture
def notes() -> Iterator[Path]:
    """Where functions note the processes that they have started."""
    folder = Path(tempfile.mkdtemp(prefix="hx-notes-", dir="/tmp"))
    yield folder
    shutil.rmtree(folder)


def noted(notes: Path) -> list[int]:
    pids = [int(path.name) for path in notes.iterdir()]
    assert pids
    return pids


@pytest.mark.parametrize(
    ("end", "reason"),
    [
        ("return", None),
        ("exception", "failed"),
        ("exit", "failed"),
        ("sleep", "timeout"),
        ("cancel", "cancelled"),
    ],
)
@pytest.mark.parametrize("escape", ESCAPES)
def test_nothing_is_alive_once_the_end_is_reported(
    slot: Any,
    notes: Path,
    is_alive: Callable[[int], bool],
    escape: str,
    end: str,
    reason: str | None,
) -> None:
    """The executor ends all of it before it says that the attempt has ended, and stays warm."""

    def attempt(timeout_s: float | None) -> tuple[Path, Any]:
        name = f"task-{next(NUMBERS)}"
        own = notes / name
        own.mkdir()
        slot.submit(name, call("start", escape, str(own), end), timeout_s=timeout_s)
        if end == "cancel":
            slot.wait(lambda: slot.progress(name))
            slot.send(Cancel(name, 1))
        return own, slot.finished(name)

    if reason == "timeout":
        own, finished = with_time_enough(attempt, lambda made: bool(slot.progress(made[0].name)))
    else:
        own, finished = attempt(None)
    assert [pid for pid in noted(own) if is_alive(pid)] == []
    assert (finished.outcome.error.reason if finished.outcome.error else None) == reason
    assert (finished.spent is not None) == (reason == "timeout"), "an interruption costs the process"


@pytest.mark.parametrize("escape", ESCAPES)
def test_nothing_is_alive_after_a_kill_from_outside(
    node_of: Callable[..., Any], notes: Path, is_alive: Callable[[int], bool], escape: str
) -> None:
    """Code that stays in C is ended by the node worker, with all that it had started."""
    node = node_of()
    # With a time limit `Started` is sent at once; without one it may wait for others to be sent with it.
    node.submit("a", call("start", escape, str(notes), "code_in_c"), timeout_s=600.0)
    node.started("a")
    wait_for_notes(notes)
    assert kill_from_outside(node) == []
    assert [pid for pid in noted(notes) if is_alive(pid)] == []
    node.process.wait(60)


@pytest.mark.parametrize("end", ["os_exit", "a_kill"])
@pytest.mark.parametrize("escape", [name for name in ESCAPES if name != "without_environment"])
def test_nothing_is_alive_after_an_executor_has_died(
    node_of: Callable[..., Any], notes: Path, is_alive: Callable[[int], bool], escape: str, end: str
) -> None:
    """Its orphans are nobody's children that we know: they are found by a variable that they have, and gone
    before the loss of their attempt is reported."""
    node = node_of()
    node.submit("a", call("start", escape, str(notes), end))
    node.process.wait(60)
    assert end_marked(node.executor_id) == []
    assert [pid for pid in noted(notes) if is_alive(pid)] == []


def kill_from_outside(node: Any) -> list[int]:
    handle = os.pidfd_open(node.process.pid)
    try:
        return end_below(node.process.pid, handle)
    finally:
        os.close(handle)


def wait_for_notes(notes: Path) -> None:
    until(lambda: any(notes.iterdir()))


@pytest.mark.parametrize(
    ("name", "result"),
    [
        ("fork_and_return", "parent of a child with exit code 0"),
        ("fork_and_raise", "parent of a child with exit code 7"),
        ("fork_and_go_on", "parent"),
    ],
)
def test_a_function_that_forks_has_one_result(slot: Any, name: str, result: str) -> None:
    """It is the parent's; a child that comes back from the function ends as a script would."""
    for _ in range(3):
        task = f"task-{next(NUMBERS)}"
        assert slot.run(task, call(name)).result == result
    assert slot.run(f"task-{next(NUMBERS)}", call("end_by_return")).result == "done"


@pytest.mark.parametrize("run", [call("end_by_code_in_c"), ENDLESS], ids=["function", "inference"])
def test_the_watch_outside_is_armed_before_user_code_runs(slot: Any, run: dict[str, Any]) -> None:
    """`Started` leaves before code that stays in C can prevent it, with the interpreter's lock or without."""
    slot.submit("in-c", run, timeout_s=1.0)
    assert slot.started("in-c").task_id == "in-c"
    kill_from_outside(slot)
    slot.spent = "killed"
    slot.replace()
