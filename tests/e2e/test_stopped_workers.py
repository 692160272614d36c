"""The issue's promise for leases: 1,000 of them, a fifth of the workers stopped past
their lease and resumed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
import orjson
import psutil
import pytest

from tests.e2e.live import Json, Live, add_user, count, listed, serving, submit
from tests.ray.signals import until

PROGRAM = Path(__file__).with_name("lease_holders.py")
PROCESSES, STOPPED, WORKERS_EACH = 20, 4, 50
TASKS, LATE = PROCESSES * WORKERS_EACH, STOPPED * WORKERS_EACH
# A worker sends its next heartbeat LEASE_S / 3 after the answer to the last: a slow machine makes the
# rounds longer instead of the queue, and no lease of a running worker ends while TASKS / LEASE_S = 50
# requests a second are answered.
LEASE_S = 20
BEAT_S = LEASE_S / 3
# Reports that may be on their way at once: who waits to send one sends no heartbeat.
REPORTS_AT_ONCE = 100
# For a machine that is busy with other things; on two shared cores the longest wait, but for
# the lease's, took 4 s.
WAIT_S_MAX = 120.0

Attempt = tuple[str, int, str]


@dataclass
class Fleet:
    """The running processes of workers, by the name that their workers' ids begin with."""

    processes: dict[str, subprocess.Popen[str]]
    folder: Path

    def tell(self, held: Iterable[Json]) -> None:
        """Have attempts reported by the workers that hold them, or did."""
        ids: dict[str, list[str]] = {}
        for attempt in held:
            ids.setdefault(process_of(attempt), []).append(attempt["id"])
        for name, told in ids.items():
            stdin = self.processes[name].stdin
            assert stdin is not None
            stdin.write(" ".join(told) + "\n")
            stdin.flush()

    def finish(self, held: list[Json]) -> None:
        """Have attempts reported, some at a time, and wait until all were answered."""
        for start in range(0, len(held), REPORTS_AT_ONCE):
            some = held[start : start + REPORTS_AT_ONCE]
            before = len(self.reports())
            self.tell(some)
            self.wait_for_reports(before + len(some))

    def wait_for_reports(self, reports: int) -> None:
        """Wait until so many reports were answered in all."""
        until(lambda: len(self.reports()) >= reports, WAIT_S_MAX)

    def reports(self) -> list[Json]:
        """Return the reports that were answered so far; no process may have ended."""
        assert all(process.poll() is None for process in self.processes.values())
        texts = [(self.folder / name).read_bytes() for name in self.processes]
        # The last line may not be whole yet.
        return [orjson.loads(line) for text in texts for line in text.split(b"\n")[:-1]]

    def stop(self, names: Iterable[str]) -> None:
        """Freeze processes, and wait until they stand still."""
        frozen = [psutil.Process(self.processes[name].pid) for name in names]
        for process in frozen:
            process.send_signal(signal.SIGSTOP)
        until(lambda: all(process.status() == psutil.STATUS_STOPPED for process in frozen))

    def resume(self, names: Iterable[str]) -> None:
        """Let frozen processes go on."""
        for name in names:
            self.processes[name].send_signal(signal.SIGCONT)

    def end(self) -> None:
        """End all processes, none of which may have met an error."""
        for process in self.processes.values():
            process.communicate(timeout=WAIT_S_MAX)
        assert {process.returncode for process in self.processes.values()} == {0}


def process_of(attempt: Json) -> str:
    """Return the name of the process whose worker an attempt was given to."""
    return str(attempt["worker"]).rpartition("-")[0]


@contextmanager
def fleet(live: Live, admin: httpx.Client, folder: Path) -> Iterator[Fleet]:
    """Run the processes, which share one user of the role worker, until the block ends."""
    authorization = live.client("fleet", add_user(admin, "fleet", "worker")).headers["Authorization"]
    environment = {**os.environ, "HELIX_URL": live.url, "HELIX_AUTHORIZATION": authorization}
    folder.mkdir()
    running: dict[str, subprocess.Popen[str]] = {}
    with ExitStack() as stack:
        for name in (f"holders-{number}" for number in range(PROCESSES)):
            command = [sys.executable, str(PROGRAM), name, str(WORKERS_EACH), str(BEAT_S)]
            with (folder / name).open("w") as stdout:
                process = subprocess.Popen(
                    command, env=environment, stdin=subprocess.PIPE, stdout=stdout, text=True
                )
            running[name] = stack.enter_context(process)
            stack.callback(process.kill)
        yield Fleet(running, folder)


@dataclass
class Story:
    """What happened: attempts as the journal assigned them, and reports as they were answered."""

    live: Live
    admin: httpx.Client
    # The attempts that were held at the stop, by the processes that were stopped and by the others.
    frozen: list[Json]
    moving: list[Json]
    # The next attempts of the frozen tasks, reported before the late reports and after them.
    early: list[Json]
    held: list[Json]
    # All running tasks as the API gives them, before the late reports and after them.
    before: list[Json]
    after: list[Json]
    reports: list[Json]


@pytest.fixture(scope="module")
def story(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Story]:
    """Let each of 1,000 workers hold a task, and play it to its end."""
    folder = tmp_path_factory.mktemp("stopped")
    with serving(folder / "data", lease_s=LEASE_S) as live:
        admin = live.client()
        submit(admin, *[{"title": f"hold {n}", "type": "design"} for n in range(TASKS)])
        with fleet(live, admin, folder / "reports") as holders:
            until(lambda: count(admin, status="running") == TASKS, WAIT_S_MAX)
            told = play(live, admin, holders)
        yield told


def play(live: Live, admin: httpx.Client, holders: Fleet) -> Story:
    """Stop a fifth until others hold all that it held and have finished half of it;
    resume it; finish everything."""
    stopped = list(holders.processes)[:STOPPED]
    holders.stop(stopped)
    first = live.bodies("TaskAssigned")
    frozen = [attempt for attempt in first if process_of(attempt) in stopped]
    moving = [attempt for attempt in first if process_of(attempt) not in stopped]
    holders.finish(moving)
    until(lambda: live.facts("TaskAssigned").total() >= len(first) + len(frozen), LEASE_S + WAIT_S_MAX)
    second = live.bodies("TaskAssigned")[len(first) :]
    early, held = second[: LATE // 2], second[LATE // 2 :]
    holders.finish(early)
    before = listed(admin, status="running")
    holders.tell(frozen)
    holders.resume(stopped)
    holders.wait_for_reports(len(moving) + len(early) + len(frozen))
    after = listed(admin, status="running")
    holders.finish(held)
    reports = holders.reports()
    holders.end()
    return Story(live, admin, frozen, moving, early, held, before, after, reports)


def attempts(facts: Iterable[Json]) -> set[Attempt]:
    """Return which attempts assignments or reports are about."""
    return {(fact["id"], fact["attempt"], fact["worker"]) for fact in facts}


def test_a_stopped_workers_task_goes_to_a_running_one(story: Story) -> None:
    """Of 1,000 tasks held by as many workers, the 200 of the stopped ones are lost,
    once each, and no other is."""
    first, second = [*story.frozen, *story.moving], [*story.early, *story.held]
    assert {(attempt["attempt"], attempt["worker"]) for attempt in first} == {
        (1, f"holders-{process}-{worker}") for process in range(PROCESSES) for worker in range(WORKERS_EACH)
    }
    lost = Counter(attempt["id"] for attempt in story.frozen)
    assert (len(first), lost.total()) == (TASKS, LATE)
    assert story.live.facts("TaskRequeued") == lost == Counter(attempt["id"] for attempt in second)
    assert {process_of(attempt) for attempt in second}.isdisjoint(map(process_of, story.frozen))
    tasks = [story.admin.get(f"/tasks/{attempt['id']}").json() for attempt in second]
    assert {(task["status"], task["attempt"], task["losses"]) for task in tasks} == {("completed", 2, 1)}
    assert [task["assigned_worker"] for task in tasks] == [attempt["worker"] for attempt in second]


def test_every_late_report_is_answered_409(story: Story) -> None:
    """Exactly the 200 reports of resumed workers are refused, be the next attempt over or
    under way; nothing changes."""
    refused = [report for report in story.reports if report["status"] != 200]
    assert len(refused) == LATE
    assert attempts(refused) == attempts(story.frozen)
    assert {(report["status"], report["error"]["code"]) for report in refused} == {(409, "CONFLICT")}
    details = [report["error"]["details"] for report in refused]
    assert {(d["reason"], d["attempt"], d["current_attempt"]) for d in details} == {("lease_expired", 1, 2)}
    assert {task["id"] for task in story.before} == {attempt["id"] for attempt in story.held}
    assert story.after == story.before


def test_nothing_is_lost_and_nothing_completed_twice(story: Story) -> None:
    """All 1,000 tasks are completed, once each, by the attempts whose reports were
    taken, as the journal has it."""
    taken = [report for report in story.reports if report["status"] == 200]
    assert len(taken) == TASKS
    assert attempts(taken) == attempts([*story.moving, *story.early, *story.held])
    done = story.live.bodies("TaskCompleted")
    assert len(done) == len({fact["id"] for fact in done}) == TASKS
    assert {(fact["id"], fact["attempt"], fact["result"]["worker_id"]) for fact in done} == attempts(taken)
    assert (count(story.admin), count(story.admin, status="completed")) == (TASKS, TASKS)
