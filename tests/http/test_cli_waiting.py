"""`helix` as it waits for a task: what Ctrl-C leaves, the exit codes of every end, and output that was cut.

The programs are real processes and the signals real ones; the tasks run nowhere, their ends are reported
here.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from typing import Any

import orjson
import pytest

from helix_ray.config import Settings
from helix_ray.core.orders import AttemptReport, CancelTask, RegisterWorker, ReportAttempts
from helix_ray.core.questions import GetTask
from tests.http.api_server import Api, serving_api
from tests.ray.signals import until

NODE = "worker-waited-for"
COMMAND = {"type": "building", "run": {"kind": "command", "argv": ["true"]}}
END_S_MAX = 200
LOST = {"reason": "lost", "message": "gone"}

Start = Callable[..., subprocess.Popen[str]]


@pytest.fixture(scope="module")
def api() -> Iterator[Api]:
    """An API with a node that gets every task, runs none, and need not be heard of; a loss is final."""
    with serving_api(Settings(node_lease_s=3600.0, losses_max=0)) as running:
        offer: dict[str, Any] = {"worker_id": NODE, "kind": "node", "node_id": "n1", "boot": "boot"}
        running.plane.give(RegisterWorker("n1", ("building",), {"cpu": 1e6}, **offer))
        yield running


@pytest.fixture
def helix(api: Api) -> Iterator[Start]:
    """Give `helix(*arguments)`, which starts the program; it does not outlive the test."""
    token = api.client().headers["Authorization"].removeprefix("Bearer ")
    environment = {**os.environ, "HELIX_URL": api.url, "HELIX_TOKEN": token}
    started: list[subprocess.Popen[str]] = []

    def start(*arguments: str) -> subprocess.Popen[str]:
        command = [sys.executable, "-m", "helix_ray.cli.main", *arguments]
        streams: dict[str, Any] = {
            "stdin": subprocess.DEVNULL,
            "stdout": subprocess.PIPE,
            "stderr": subprocess.PIPE,
        }
        started.append(subprocess.Popen(command, env=environment, text=True, **streams))
        return started[-1]

    yield start
    for process in started:
        process.kill()
        process.communicate()


def status(api: Api, task_id: str) -> str:
    task = api.plane.ask(GetTask(task_id))
    assert isinstance(task, dict), task
    return str(task["status"])


def waited_for(api: Api, process: subprocess.Popen[str]) -> str:
    """Return the id of the task that a `submit --wait` has submitted, once it runs."""
    assert process.stderr is not None
    found = re.match(r"(task-\S+) submitted; waiting", process.stderr.readline())
    assert found
    until(lambda: status(api, found[1]) == "running")
    return found[1]


def report(api: Api, task_id: str, outcome: str, error: dict[str, Any] | None = None, **result: Any) -> None:
    """Report the end of the attempt that runs."""
    task = api.plane.ask(GetTask(task_id))
    assert isinstance(task, dict), task
    item = AttemptReport(task_id, task["attempt"], outcome, result or None, error)  # type: ignore[arg-type]
    api.plane.give(ReportAttempts(NODE, "boot", (item,)))


def interrupted(process: subprocess.Popen[str]) -> tuple[int, str, str]:
    """Press Ctrl-C; return the exit code, and what was printed after it."""
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=END_S_MAX)
    return process.returncode, out, err


@pytest.mark.parametrize("option", ["--wait", "--watch"])
def test_ctrl_c_leaves_a_submitted_task_running(api: Api, helix: Start, option: str) -> None:
    """Exit code 130; it says that the task goes on, how to come back, and how to cancel it."""
    process = helix("submit", option, "--", "true")
    task_id = waited_for(api, process)
    code, out, err = interrupted(process)
    assert (code, out) == (130, "")
    for line in (
        f"{task_id} continues",
        f"helix task logs --follow {task_id}",
        f"helix task cancel {task_id}",
    ):
        assert line in err
    assert "Traceback" not in err
    assert status(api, task_id) == "running"


def test_ctrl_c_ends_the_following_only(api: Api, helix: Start) -> None:
    """Of `logs --follow`, of `task watch TASK` and of a whole file; what was printed is there."""
    task_id = api.submit(api.client(), **COMMAND)
    until(lambda: status(api, task_id) == "running")
    api.plane.write_log(task_id, 1, "begun\n")
    for arguments in (("logs", "--follow", task_id), ("task", "watch", "--json", task_id)):
        process = helix(*arguments)
        assert process.stdout is not None
        assert process.stdout.readline()
        code, _, err = interrupted(process)
        assert (code, status(api, task_id)) == (130, "running")
        assert f"{task_id} continues" in err
        assert "Traceback" not in err


def test_ctrl_c_at_a_list_that_has_no_end_says_nothing(api: Api, helix: Start) -> None:
    """Watching the newest tasks ends no other way."""
    api.submit(api.client(), **COMMAND)
    process = helix("ps", "--watch", "--json")
    assert process.stdout is not None
    assert process.stdout.readline()
    code, _, err = interrupted(process)
    assert (code, err) == (130, "")


def exits(code: int) -> Callable[[Api, str], None]:
    def end(api: Api, task_id: str) -> None:
        ok = code == 0
        error = None if ok else {"reason": "failed", "message": "it failed"}
        result = {"success": ok, "output": "", "exit_code": code, "log_bytes": 0}
        report(api, task_id, "completed" if ok else "failed", error, **result)

    return end


ENDS: dict[str, tuple[Callable[[Api, str], None], int]] = {
    "completed": (exits(0), 0),
    "exit code 3": (exits(3), 3),
    "signal 9": (exits(-9), 137),
    "lost": (lambda api, task_id: report(api, task_id, "lost", LOST), 122),
    "cancelled": (lambda api, task_id: (api.plane.give(CancelTask(task_id)), None)[1], 123),
    "timeout": (
        lambda api, task_id: report(api, task_id, "failed", {"reason": "timeout", "message": "m"}),
        124,
    ),
    "no program": (
        lambda api, task_id: report(api, task_id, "failed", {"reason": "bad_spec", "message": "m"}),
        1,
    ),
}


@pytest.mark.parametrize(("end", "code"), ENDS.values(), ids=ENDS)
def test_a_wait_ends_as_the_task_did(
    api: Api, helix: Start, end: Callable[[Api, str], None], code: int
) -> None:
    """The command's own exit code, or one that says that it has none; the reason is on standard error."""
    process = helix("submit", "--wait", "--max-retries", "0", "--", "true")
    task_id = waited_for(api, process)
    end(api, task_id)
    _, err = process.communicate(timeout=END_S_MAX)
    assert process.returncode == code, err
    assert (f"helix: {task_id} " in err) == (code != 0)


def test_a_cut_is_said_where_the_output_is_shown(api: Api, helix: Start) -> None:
    """While waiting on standard error, so that standard output is the command's; in `logs` and its tail as a
    line."""
    process = helix("submit", "--wait", "--", "true")
    task_id = waited_for(api, process)
    api.plane.cut_log(task_id, 1, 6, 16)
    api.plane.write_log(task_id, 1, "begin\n0123456789end\n")
    exits(0)(api, task_id)
    out, err = process.communicate(timeout=END_S_MAX)
    assert (out, process.returncode) == ("begin\nend\n", 0)
    assert err == "helix: 10 bytes of output were removed here\n"
    line = "[helix: 10 bytes of output were removed here]\n"
    assert helix("logs", task_id).communicate(timeout=END_S_MAX)[0] == f"begin\n{line}end\n"
    assert helix("logs", "--tail", "2", task_id).communicate(timeout=END_S_MAX)[0] == f"{line}end\n"


def test_watch_ends_with_the_task(api: Api, helix: Start) -> None:
    """`get --watch` prints its changes and ends with exit code 1 where it failed."""
    task_id = api.submit(api.client(), **COMMAND)
    until(lambda: status(api, task_id) == "running")
    process = helix("task", "get", "--watch", "--json", task_id)
    assert process.stdout is not None
    assert orjson.loads(process.stdout.readline())["status"] == "running"
    exits(1)(api, task_id)
    out, _ = process.communicate(timeout=END_S_MAX)
    assert (orjson.loads(out.splitlines()[-1])["status"], process.returncode) == ("failed", 1)
