"""Every way in which a child can leave its command x every way in which an attempt ends: nothing of it is
alive."""

from __future__ import annotations

import os
import shutil
import signal
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from helix_ray.execution.starter.lane import CommandLimits
from helix_ray.execution.starter.levels import Wanted, Wish
from tests.processes import end_all, processes_with
from tests.unit.execution.starter_end import StarterEnd, needs

# No other run of these tests has processes with these arguments.
OURS = os.getpid()
LEVELS: tuple[Wish, ...] = ("none", "user", "namespaces")

DOUBLE_FORK = f"""{sys.executable} -S -c 'import os
if os.fork(): os._exit(0)
os.setsid()
if os.fork(): os._exit(0)
os.execvp("sleep", ["sleep", NUMBER])'"""

ESCAPES = {
    "a child in the background": "sleep NUMBER &",
    "a session of its own": "setsid sleep NUMBER &",
    "a daemon of two forks": DOUBLE_FORK,
    "one that nothing ends but SIGKILL": "(trap '' TERM HUP; sleep NUMBER; sleep NUMBER) &",
    "without its environment": "env -i /usr/bin/setsid /bin/sleep NUMBER &",
    "workers of workers": "sh -c 'setsid sh -c \"setsid sleep NUMBER & sleep NUMBER\" & sleep NUMBER' &",
    "without the output": "setsid sleep NUMBER < /dev/null > /dev/null 2>&1 &",
}
ENDS = ("completes", "fails", "is killed", "times out", "is cancelled", "loses its cell")
END_LINES = {"completes": "exit 0", "fails": "exit 3", "is killed": "kill -9 $$"}


def offered(level: Wish) -> Wanted:
    needs(level)
    return Wanted(level)


@pytest.fixture(scope="module", params=LEVELS)
def starter(request: pytest.FixtureRequest) -> Iterator[StarterEnd]:
    folder = Path(tempfile.mkdtemp(prefix="hx-", dir="/var/tmp"))
    end = StarterEnd(
        folder, offered(request.param), CommandLimits(100_000, kill_grace_s=0.2, kill_grace_s_max=1.0)
    )
    yield end
    end.close()
    shutil.rmtree(folder, ignore_errors=True)


@pytest.mark.parametrize("end", ENDS)
@pytest.mark.parametrize("escape", ESCAPES)
def test_nothing_of_an_attempt_outlives_it(starter: StarterEnd, escape: str, end: str) -> None:
    """When the end of an attempt is reported, no process of it is left, and its exit code is what it was."""
    number = f"{1000 + list(ESCAPES).index(escape)}.{OURS}{1 + ENDS.index(end)}"
    shell = (
        f"{ESCAPES[escape].replace('NUMBER', number)}\necho ready\n{END_LINES.get(end, 'sleep ' + number)}"
    )
    task_id = f"task-{number}"
    starter.submit({"shell": shell, **({"timeout_s": 0.3} if end == "times out" else {})}, task_id=task_id)
    if end in ("is cancelled", "loses its cell"):
        starter.wait_for_output(task_id, "ready")
        if end == "is cancelled":
            starter.cancel(task_id)
        else:
            os.kill(starter.cell_process(), signal.SIGKILL)
    outcome = starter.finished(task_id).outcome
    assert processes_with(f"sleep {number}") == []
    said = outcome.error.reason if outcome.error is not None else "completed"
    expected = {
        "completes": ("completed", 0), "fails": ("failed", 3), "is killed": ("failed", -9),
        "times out": ("timeout", outcome.exit_code), "is cancelled": ("cancelled", outcome.exit_code),
        "loses its cell": ("lost", None),
    }  # fmt: skip
    assert (said, outcome.exit_code) == expected[end]


def test_a_killed_starter_takes_everything_along(
    folder: Path, is_gone: Callable[[int], bool], level: Wish
) -> None:
    """kill -9 of the starter ends its cells and, where they are contained, all that ran in them."""
    end = StarterEnd(folder, offered(level))
    last = f"sleep {1100 + LEVELS.index(level)}.{OURS}"
    try:
        task_id = end.submit({"shell": f"setsid {last} & echo ready; {last}"})
        end.wait_for_output(task_id, "ready")
        cell = end.cell_process()
        end.process.kill()
        end.process.wait()
        assert is_gone(cell)
        if level == "namespaces":
            assert processes_with(last) == []
    finally:
        end_all(last)
        end.close()


@pytest.fixture(params=LEVELS)
def level(request: pytest.FixtureRequest) -> Wish:
    found: Wish = request.param
    return found
