"""Workers outside the cluster, as examples/external_worker.py has them, against a live server."""

from __future__ import annotations

import fcntl
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from tests.conftest import ADMIN_PASSWORD
from tests.e2e.live import Json, Live, add_user, ended, error_of, serving, submit
from tests.ray.signals import until

PROGRAM = Path(__file__).parents[2] / "examples" / "external_worker.py"
LEASE_S = 6
# Progress that the program reports just before it prints its result.
HALF = 50
COUNT: Json = {"title": "Count", "description": "to be or not to be", "type": "design"}


@pytest.fixture(scope="module")
def live(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Live]:
    with serving(tmp_path_factory.mktemp("external") / "data", lease_s=LEASE_S) as server:
        yield server


@pytest.fixture(scope="module")
def admin(live: Live) -> httpx.Client:
    return live.client()


@contextmanager
def program(
    live: Live,
    *flags: str,
    username: str = "admin",
    password: str = ADMIN_PASSWORD,
    stdout: int | None = None,
) -> Iterator[subprocess.Popen[str]]:
    """Run the example until the block ends."""
    login = {"HELIX_URL": live.url, "HELIX_USERNAME": username, "HELIX_PASSWORD": password}
    process = subprocess.Popen(
        [sys.executable, str(PROGRAM), *flags],
        env={**os.environ, **login},
        stdout=subprocess.PIPE if stdout is None else stdout,
        text=True,
    )
    with process:
        try:
            yield process
        finally:
            process.kill()


@contextmanager
def blocked_pipe() -> Iterator[tuple[int, Callable[[], bytes]]]:
    """Give a pipe that is full, so that who prints to it stops there, and what empties it."""
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    size = fcntl.fcntl(writing, fcntl.F_GETPIPE_SZ)
    assert os.write(writing, b"\n" * size) == size
    os.set_blocking(writing, True)
    try:
        yield writing, lambda: os.read(reading, size)
    finally:
        os.close(writing)
        os.close(reading)


def task_of(client: httpx.Client, task_id: str) -> Json:
    """Read one task."""
    found: Json = client.get(f"/tasks/{task_id}").json()
    return found


def test_the_example_does_a_whole_job(live: Live, admin: httpx.Client) -> None:
    """It registers, is handed the task by a heartbeat, reads it, tells its progress and its
    end, with documented calls."""
    (task_id,) = submit(admin, COUNT)
    with program(live, "--once") as worker:
        printed, _ = worker.communicate(timeout=60)
    assert worker.returncode == 0
    assert printed == f"{task_id}: 6 words, 4 different\n"
    seen = task_of(admin, task_id)
    assert (seen["status"], seen["progress"], seen["attempt"]) == ("completed", 100, 1)
    done_by = admin.get(f"/workers/{seen['assigned_worker']}").json()
    assert (done_by["kind"], done_by["capabilities"], done_by["tasks_completed"]) == (
        "external",
        ["design"],
        1,
    )


def test_two_workers_share_the_work(live: Live, admin: httpx.Client) -> None:
    """Each task is done once, by one of them, and both are given some."""
    before = len(workers(admin))
    with program(live), program(live):
        until(lambda: len(workers(admin)) == before + 2)
        seen: list[Json] = []

        def both_had_some() -> bool:
            # A worker that is done comes at once: a few short tasks may all be one worker's.
            seen.extend(ended(admin, task_id) for task_id in submit(admin, *[COUNT] * 4))
            return len({task["assigned_worker"] for task in seen}) == 2

        until(both_had_some)
    assert {task["status"] for task in seen} == {"completed"}
    assert {task["attempt"] for task in seen} == {1}
    completions = live.facts("TaskCompleted")
    assert {completions[task["id"]] for task in seen} == {1}


def workers(client: httpx.Client) -> list[Json]:
    """List all workers."""
    found: list[Json] = client.get("/workers").json()["workers"]
    return found


def test_a_killed_workers_task_goes_to_the_other(live: Live, admin: httpx.Client) -> None:
    """After its lease the other one gets it; what the dead one's attempt would still
    say is refused with 409."""
    with blocked_pipe() as (pipe, _), program(live, stdout=pipe) as first:
        (task_id,) = submit(admin, COUNT)
        until(lambda: task_of(admin, task_id)["progress"] == HALF)
        taken = task_of(admin, task_id)
        first.kill()
        first.wait()
        with program(live):
            seen = ended(admin, task_id)
    assert (taken["status"], taken["attempt"]) == ("running", 1)
    assert (seen["status"], seen["attempt"], seen["losses"]) == ("completed", 2, 1)
    assert seen["assigned_worker"] != taken["assigned_worker"]
    late: Json = {"status": "failed", "error": "too late", "attempt": taken["attempt"]}
    details = error_of(admin.put(f"/tasks/{task_id}", json=late), 409, "CONFLICT")
    assert (details["reason"], details["attempt"], details["current_attempt"]) == ("lease_expired", 1, 2)
    late = {"status": "failed", "error": "too late", "worker_id": taken["assigned_worker"]}
    error_of(admin.put(f"/tasks/{task_id}", json=late), 409, "CONFLICT")
    assert task_of(admin, task_id)["status"] == "completed"
    assert live.facts("TaskCompleted")[task_id] == 1
    assert live.facts("TaskFailed")[task_id] == 0
    lost = {worker["id"]: worker["status"] for worker in workers(admin)}
    assert lost[taken["assigned_worker"]] == "lost"


def test_a_worker_that_hung_too_long_is_not_heard(live: Live, admin: httpx.Client) -> None:
    """Users of the role worker: the one that comes back after its lease knows nothing of a fence,
    and still changes nothing."""
    passwords = {name: add_user(admin, name, "worker") for name in ("slow", "quick")}
    with (
        blocked_pipe() as (pipe, empty),
        program(live, "--once", username="slow", password=passwords["slow"], stdout=pipe) as slow,
    ):
        (task_id,) = submit(admin, COUNT)
        until(lambda: task_of(admin, task_id)["progress"] == HALF)
        held = task_of(admin, task_id)["assigned_worker"]
        with program(live, username="quick", password=passwords["quick"]):
            seen = ended(admin, task_id)
        assert (seen["status"], seen["attempt"]) == ("completed", 2)
        assert seen["assigned_worker"] != held
        empty()
        # Its PUT without `attempt` is refused, and it drops the task.
        assert slow.wait(timeout=60) == 0
    assert task_of(admin, task_id) == seen
    assert live.facts("TaskCompleted")[task_id] == 1


def test_a_worker_that_comes_back_as_itself_loses_what_it_held(live: Live, admin: httpx.Client) -> None:
    """Registering under the same id with another boot hands the old life's task out again at once."""
    hello: Json = {"hostname": "h", "capabilities": ["porting"], "worker_id": "worker_again", "boot": "one"}
    assert admin.post("/workers/register", json=hello).json()["worker_id"] == "worker_again"
    (task_id,) = submit(admin, {"title": "port", "type": "porting"})
    beat = {"worker_id": "worker_again", "status": "idle", "current_task": None}
    given = admin.post("/workers/heartbeat", json=beat).json()
    assert (given["assigned_task"], given["attempt"]) == (task_id, 1)
    admin.post("/workers/register", json={**hello, "boot": "two"})
    assert task_of(admin, task_id)["status"] == "pending"
    stale = admin.post("/workers/heartbeat", json={**beat, "boot": "one"})
    error_of(stale, 404, "NOT_FOUND")
    given = admin.post("/workers/heartbeat", json={**beat, "boot": "two"}).json()
    assert (given["assigned_task"], given["attempt"]) == (task_id, 2)
    done = admin.put(f"/tasks/{task_id}", json={"status": "completed", "progress": 100, "result": {"n": 1}})
    assert done.json()["status"] == "completed"
    assert admin.get(f"/tasks/{task_id}/result").json()["result"] == {"n": 1}
