"""Finished tasks leave the master's memory and stay readable; a restart on the same data
directory changes nothing."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import psutil
import pytest

from helix_ray.checkpoints import newest, verify
from helix_ray.monitoring.checked import AUDIT_FILE, read_comparison
from launcher.up.data_dir import DATA_DIR
from tests.e2e.live import (
    HISTORIAN,
    Json,
    Live,
    add_user,
    count,
    ended,
    error_of,
    function,
    listed,
    serving,
    shell,
    submit,
)
from tests.processes import command_line
from tests.ray.signals import until

# A historian that is stopped is to stay so for a test.
SETTINGS = {"retention_s": 1, "stopped_s_max": 60}
DONE, PAGE_TASKS = 60, 7
GONE_S_MAX = 60.0


@dataclass
class Kept:
    """What was finished and has left memory: tasks and results as they were read while in memory."""

    live: Live
    admin: httpx.Client
    ids: list[str]
    failed: str
    pending: list[str]
    tasks: dict[str, Json] = field(default_factory=dict)
    results: dict[str, Json] = field(default_factory=dict)


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("retention") / "data"


def archived(live: Live) -> set[str]:
    """Return the tasks that have left memory, as the journal says."""
    return {task_id for facts in live.bodies("TasksRetired") for task_id in facts["ids"]}


@pytest.fixture(scope="module")
def kept(data_dir: Path) -> Iterator[Kept]:
    """Run tasks of several ends, read them at once, and wait until they have left memory."""
    with serving(data_dir, **SETTINGS) as live:
        admin = live.client()
        labelled = {
            "priority": "high",
            "project_id": "project-1",
            "description": "d",
        }
        ids = submit(
            admin, *[function("echo", {"n": n}, **labelled) for n in range(DONE - 1)], shell("echo out")
        )
        (failed,) = submit(admin, function("fail", "on purpose"))
        pending = submit(admin, *[{"title": f"waits {n}", "type": "design"} for n in range(5)])
        found = Kept(live, admin, ids, failed, pending)
        for task_id in [*ids, failed]:
            found.tasks[task_id] = ended(admin, task_id)
            found.results[task_id] = admin.get(f"/tasks/{task_id}/result").json()
        until(lambda: archived(live) >= {*ids, failed}, GONE_S_MAX)
        yield found


def check_readable(admin: httpx.Client, kept: Kept) -> None:
    """Every task, result and log reads as it did in memory."""
    assert admin.get(f"/tasks/{kept.ids[-1]}/logs").text == "out\n"
    for task_id, task in kept.tasks.items():
        assert admin.get(f"/tasks/{task_id}").json() == task
        assert admin.get(f"/tasks/{task_id}/result").json() == kept.results[task_id]


def test_retired_tasks_read_as_before(kept: Kept) -> None:
    """GET and result are field for field what they were; the log is still there."""
    check_readable(kept.admin, kept)
    assert kept.results[kept.failed]["error"]["message"] == "on purpose"


def test_listings_page_across_memory_and_history(kept: Kept) -> None:
    """Totals count both, pages have no gap and no double, filters hold, newest come first within each."""
    everything = [*kept.ids, kept.failed, *kept.pending]
    tasks = listed(kept.admin, PAGE_TASKS)
    assert sorted(task["id"] for task in tasks) == sorted(everything)
    assert [task["id"] for task in tasks] == [task["id"] for task in listed(kept.admin)]
    assert [task["id"] for task in tasks[: len(kept.pending)]] == kept.pending[::-1]
    times = [task["created_at"] for task in tasks[len(kept.pending) :]]
    assert times == sorted(times, reverse=True)
    assert {task["id"] for task in listed(kept.admin, PAGE_TASKS, status="completed")} == set(kept.ids)
    assert [task["id"] for task in listed(kept.admin, status="failed")] == [kept.failed]
    assert {task["id"] for task in listed(kept.admin, status="pending")} == set(kept.pending)
    assert count(kept.admin, priority="high") == count(kept.admin, project_id="project-1") == DONE - 1
    assert count(kept.admin, type="design") == len(kept.pending)
    assert count(kept.admin, created_until=min(times)) == 0
    line = kept.admin.get("/tasks", params={"status": "failed"}).json()["tasks"][0]
    assert all(kept.tasks[kept.failed][name] == value for name, value in line.items())


def test_retired_tasks_of_others_do_not_exist(kept: Kept) -> None:
    """Ownership holds in the history as it does in memory."""
    stranger = kept.live.client("stranger", add_user(kept.admin, "stranger", "developer"))
    viewer = kept.live.client("viewer", add_user(kept.admin, "viewer", "viewer"))
    task_id = kept.ids[0]
    for method, path in (("GET", ""), ("GET", "/result"), ("DELETE", ""), ("GET", "/logs")):
        error_of(stranger.request(method, f"/tasks/{task_id}{path}"), 404, "NOT_FOUND")
    assert listed(stranger) == []
    assert viewer.get(f"/tasks/{task_id}").json() == kept.tasks[task_id]
    assert count(viewer) == count(kept.admin)


def test_a_retired_task_is_finished_for_good(kept: Kept) -> None:
    """What changes tasks says so; a task may still depend on it."""
    task_id = kept.ids[0]
    for method, path, body in (
        ("PUT", "", {"title": "x"}),
        ("POST", "/cancel", None),
        ("POST", "/retry", None),
    ):
        answer = kept.admin.request(method, f"/tasks/{task_id}{path}", json=body)
        assert error_of(answer, 409, "CONFLICT")["status"] == "completed"
    (after,) = submit(kept.admin, function("add", 1, 2, depends_on=[task_id]))
    assert ended(kept.admin, after)["status"] == "completed"
    assert kept.admin.delete(f"/tasks/{after}").status_code == 204


def test_a_historian_that_is_silent_is_503(kept: Kept) -> None:
    """While it hangs, what only it knows is 503 with Retry-After."""
    admin, task_id = kept.admin, kept.ids[0]
    pid = kept.live.pid(HISTORIAN)
    os.kill(pid, signal.SIGSTOP)
    try:
        # The task itself may still be known to the replica that is asked.
        answer = admin.get(f"/tasks/{task_id}/result")
        assert error_of(answer, 503, "SERVICE_UNAVAILABLE")["unavailable"] == "history"
        assert int(answer.headers["retry-after"]) >= 1
        error_of(admin.get("/tasks"), 503, "SERVICE_UNAVAILABLE")
        error_of(
            admin.post("/tasks", json=function("noop", depends_on=[task_id])), 503, "SERVICE_UNAVAILABLE"
        )
    finally:
        os.kill(pid, signal.SIGCONT)
    assert admin.get(f"/tasks/{task_id}").json() == kept.tasks[task_id]


def test_a_historian_that_is_killed_while_it_compares_is_back(kept: Kept) -> None:
    """At no time is anything less said; its next life compares the audit from the beginning, and finds no
    difference."""
    admin, live, total = kept.admin, kept.live, count(kept.admin)
    (live.data_dir / AUDIT_FILE).unlink(missing_ok=True)
    live.kill(HISTORIAN)
    until(lambda: len(comparing(live)) == 1)
    [beside] = comparing(live)
    beside.suspend()
    live.kill(HISTORIAN)
    beside.resume()
    statuses: set[int] = set()

    def back() -> bool:
        answer = admin.get("/tasks", params={"limit": 1})
        statuses.add(answer.status_code)
        return answer.status_code == 200

    until(back)
    assert statuses <= {200, 503}
    assert count(admin) == total
    assert beside.wait(timeout=30.0) is None
    until(lambda: read_comparison(live.data_dir) is not None)
    found = read_comparison(live.data_dir)
    assert found is not None
    assert found.records > 0
    assert found.difference == ""
    assert admin.get("/aurora/audit").json()["warning"] is None


def comparing(live: Live) -> list[psutil.Process]:
    """Return the processes that check the journal and compare the audit with it."""
    below = psutil.Process(live.process.pid).children(recursive=True)
    return [process for process in below if "actors.chain_check" in command_line(process.pid)]


def test_a_retired_task_can_be_deleted(kept: Kept) -> None:
    """It is gone from GET, result and listings, and stays gone."""
    task_id, before = kept.ids.pop(3), count(kept.admin)
    assert kept.admin.delete(f"/tasks/{task_id}").status_code == 204
    until(lambda: kept.admin.get(f"/tasks/{task_id}").status_code == 404)
    error_of(kept.admin.get(f"/tasks/{task_id}/result"), 404, "NOT_FOUND")
    error_of(kept.admin.delete(f"/tasks/{task_id}"), 404, "NOT_FOUND")
    assert count(kept.admin) == before - 1
    assert task_id not in {task["id"] for task in listed(kept.admin)}
    del kept.tasks[task_id], kept.results[task_id]


MARK = "erase-me-4711"


def with_mark(data_dir: Path) -> list[str]:
    """Return the files of a data directory that have the mark."""
    found = []
    for folder, _, names in os.walk(data_dir):
        for path in (Path(folder, name) for name in names):
            # What is there now may be gone the next moment.
            with suppress(OSError):
                if path.is_file() and MARK.encode() in path.read_bytes():
                    found.append(path.name)
    return found


def test_what_is_erased_is_in_no_file(kept: Kept, data_dir: Path) -> None:
    """Title, environment, output, result and a large result of a task that had left memory;
    all others read as before."""
    admin = kept.admin
    said, large = submit(
        admin,
        shell(f"echo {MARK}", title=MARK, description=MARK),
        function("echo", MARK * 10_000, title=MARK),
    )
    assert ended(admin, said)["status"] == ended(admin, large)["status"] == "completed"
    until(lambda: archived(kept.live) >= {said, large}, GONE_S_MAX)
    until(lambda: {"journal.sqlite", "history.duckdb", f"{said}.1.log"} <= {
        name.removesuffix(".wal").removesuffix("-wal") for name in with_mark(data_dir)
    }, GONE_S_MAX)  # fmt: skip
    checkpoint = newest(data_dir)
    body = {"tasks": [said, large], "reason": "asked for by their author"}
    answer = admin.post("/aurora/erasures", json=body)
    assert answer.status_code == 202
    erasure = f"/aurora/erasures/{answer.json()['id']}"
    until(lambda: admin.get(erasure).json()["status"] == "completed", GONE_S_MAX)
    assert not [name for name in with_mark(data_dir) if name.startswith("journal")]
    until(lambda: with_mark(data_dir) == [], GONE_S_MAX)
    for task_id in (said, large):
        error_of(admin.get(f"/tasks/{task_id}"), 404, "NOT_FOUND")
    check_readable(admin, kept)
    assert with_mark(data_dir) == []
    # What somebody kept from before still fits, while the server runs.
    assert verify(data_dir, checkpoint).checkpoint is not None


def test_after_restarts_everything_is_there(kept: Kept, data_dir: Path, tmp_path: Path) -> None:
    """Ended in order, then killed: history, waiting tasks and sessions as before; what ran is
    run again and completes."""
    live, admin = kept.live, kept.admin
    with ExitStack() as stack:
        for how in (signal.SIGTERM, signal.SIGKILL):
            mark = tmp_path / how.name
            line = f"if [ -e {mark} ]; then echo again; else touch {mark}; sleep 600; fi"
            (running,) = submit(admin, shell(line))
            (after,) = submit(admin, function("add", 20, 1, depends_on=[running]))
            until(mark.exists)
            ids = {task["id"] for task in listed(admin)}
            live.process.send_signal(how)
            live.process.wait(timeout=GONE_S_MAX)
            assert DATA_DIR.wait_until_free(data_dir, GONE_S_MAX)
            live = stack.enter_context(serving(data_dir, **SETTINGS))
            admin = live.anonymous()
            admin.headers["Authorization"] = kept.admin.headers["Authorization"]
            assert ended(admin, running)["status"] == "completed"
            assert ended(admin, after)["status"] == "completed"
            assert admin.get(f"/tasks/{running}/logs").text == "again\n"
            assert admin.get(f"/tasks/{after}/result").json()["result"]["value"] == 21
            assert live.facts("TaskCompleted")[running] == 1
            check_readable(admin, kept)
            assert {task["id"] for task in listed(admin, PAGE_TASKS)} == ids
