"""kill -9 of every kind of process of a live server, under HTTP load: nothing is
lost, nothing is done twice."""

from __future__ import annotations

import os
import random
import signal
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import pytest

from tests.e2e.live import (
    EXECUTOR,
    MASTER,
    NODE_WORKER,
    REPLICA,
    Json,
    Live,
    count,
    ended,
    function,
    listed,
    serving,
    shell,
    submit,
)
from tests.processes import parent, shell_of
from tests.ray.signals import until

WRITERS = 4
BATCH_TASKS = 20
MASTER_KILLS = 20
REPLICA_KILLS = 3
# Some masters are killed before they have answered anything, while they fold the journal.
EARLY_KILL_EVERY = 5
ACKS_BETWEEN_KILLS_MAX = 40
DRAIN_S_MAX = 90.0


@pytest.fixture(scope="module")
def live(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Live]:
    with serving(tmp_path_factory.mktemp("crash") / "data") as server:
        yield server


@dataclass
class Writer:
    """A client that writes and reads until told to stop, and remembers all that was acknowledged."""

    client: httpx.Client
    name: str
    resends: bool
    stop: threading.Event
    # By title, which is different for each task: the id that the server gave it.
    functions: dict[str, str] = field(default_factory=dict)
    edited: dict[str, str] = field(default_factory=dict)
    acknowledged: int = 0
    slowest_s: float = 0.0
    resent: int = 0
    failure: BaseException | None = None

    def run(self) -> None:
        """Go on until the event is set; what goes wrong is kept for the test."""
        number = 0
        try:
            while not self.stop.is_set():
                self._round(number)
                number += 1
        except BaseException as error:
            self.failure = error

    def _round(self, number: int) -> None:
        """Submit a task, a batch, and one that is edited; each is read back at once."""
        name = f"{self.name}-{number}"
        task = {**function("add", number, 1), "title": name}
        self.functions[name] = self._send("POST", "/tasks", 201, name, task)["id"]
        seen = self._send("GET", f"/tasks/{self.functions[name]}", 200)
        assert seen["title"] == name
        tasks = [{**function("echo", i), "title": f"{name}-{i}"} for i in range(BATCH_TASKS)]
        entries = self._send("POST", "/tasks/batch", 201, f"{name}-batch", {"tasks": tasks})["tasks"]
        assert [entry["title"] for entry in entries] == [task["title"] for task in tasks]
        self.functions.update({entry["title"]: entry["id"] for entry in entries})
        plain = self._send("POST", "/tasks", 201, f"{name}-plain", {"title": "draft", "type": "design"})["id"]
        title = f"{name}-edited"
        self._send("PUT", f"/tasks/{plain}", 200, None, {"title": title})
        assert self._send("GET", f"/tasks/{plain}", 200)["title"] == title
        self.edited[title] = plain

    def _send(self, method: str, path: str, status: int, key: str | None = None, body: object = None) -> Json:
        """Send a request, again after a lost connection where this client does that;
        return the decoded answer."""
        headers = {"Idempotency-Key": key} if key is not None else {}
        began = time.monotonic()
        while True:
            try:
                answer = self.client.request(method, path, json=body, headers=headers)
                break
            except httpx.TransportError:
                if not self.resends:
                    raise
                self.resent += 1
                threading.Event().wait(0.05)
        assert answer.status_code == status, f"{method} {path}: {answer.status_code} {answer.text}"
        self.slowest_s = max(self.slowest_s, time.monotonic() - began)
        self.acknowledged += 1
        found: Json = answer.json()
        return found


def under_load(live: Live, name: str, *, resends: bool, kill: Callable[[list[Writer]], None]) -> list[Writer]:
    """Have writers at work while `kill` kills; return them when all have ended well."""
    stop = threading.Event()
    writers = [Writer(live.client(), f"{name}{i}", resends, stop) for i in range(WRITERS)]
    threads = [threading.Thread(target=writer.run) for writer in writers]
    for thread in threads:
        thread.start()
    try:
        kill(writers)
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    for writer in writers:
        if writer.failure is not None:
            raise writer.failure
    return writers


def wait_for_writes(writers: list[Writer], more: int) -> None:
    """Wait until so many more requests were answered, or a writer has failed."""
    enough = sum(writer.acknowledged for writer in writers) + more
    until(lambda: sum(writer.acknowledged for writer in writers) >= enough or any(w.failure for w in writers))


def check_all_there(live: Live, writers: list[Writer]) -> None:
    """Every acknowledged write is there once, every function task was completed once, in
    the API and in the journal."""
    client = live.client()
    functions = {title: task_id for writer in writers for title, task_id in writer.functions.items()}
    edited = {title: task_id for writer in writers for title, task_id in writer.edited.items()}
    # In the order in which tasks move: one that has been counted out cannot turn up behind.
    unfinished = ({"status": "waiting"}, {"status": "pending", "type": "building"}, {"status": "running"})
    until(lambda: all(count(client, **which) == 0 for which in unfinished), DRAIN_S_MAX)
    prefixes = tuple(f"{writer.name}-" for writer in writers)
    mine = [task for task in listed(client) if task["title"].startswith(prefixes)]
    assert {task["title"]: task["id"] for task in mine} == functions | edited
    assert len(mine) == len(functions) + len(edited)
    assert Counter(task["status"] for task in mine if task["title"] in functions) == {
        "completed": len(functions)
    }
    completions, submissions = live.facts("TaskCompleted"), live.facts("TaskSubmitted")
    assert {completions[task_id] for task_id in functions.values()} == {1}
    assert {submissions[task["id"]] for task in mine} == {1}


@pytest.mark.timeout(600)
def test_twenty_killed_masters_cost_latency_only(
    live: Live, record_property: Callable[[str, object], None]
) -> None:
    """No client sees a failed request or a lost connection; what was acknowledged is there, once."""
    chance = random.Random(20)
    killed: list[int] = []

    def kill(writers: list[Writer]) -> None:
        for number in range(MASTER_KILLS):
            pid = live.pid(MASTER, other_than=killed[-1] if killed else 0)
            if number % EARLY_KILL_EVERY != EARLY_KILL_EVERY - 1:
                wait_for_writes(writers, chance.randrange(1, ACKS_BETWEEN_KILLS_MAX))
            os.kill(pid, signal.SIGKILL)
            killed.append(pid)
        wait_for_writes(writers, 1)

    replica = live.pid(REPLICA)
    writers = under_load(live, "m", resends=False, kill=kill)
    assert len(set(killed)) == MASTER_KILLS
    assert live.pid(REPLICA) == replica
    check_all_there(live, writers)
    record_property("acknowledged", sum(writer.acknowledged for writer in writers))
    record_property("slowest_request_s", round(max(writer.slowest_s for writer in writers), 2))


def test_a_killed_replica_costs_a_resend(live: Live, record_property: Callable[[str, object], None]) -> None:
    """The port is away for some seconds; a client that sends its key again has each
    of its tasks exactly once."""
    away_s: list[float] = []

    def kill(writers: list[Writer]) -> None:
        for _ in range(REPLICA_KILLS):
            wait_for_writes(writers, 50)
            live.kill(REPLICA)
            began = time.monotonic()
            until(lambda: answers(live))
            away_s.append(round(time.monotonic() - began, 2))

    writers = under_load(live, "r", resends=True, kill=kill)
    assert sum(writer.resent for writer in writers) > 0
    check_all_there(live, writers)
    record_property("port_away_s", away_s)


def answers(live: Live) -> bool:
    """Say whether the public port answers now."""
    try:
        return httpx.get(f"{live.url}/readyz", timeout=2).status_code == 200
    except httpx.TransportError:
        return False


@pytest.mark.parametrize("killed", ["cell", "starter", "executors"])
def test_what_runs_a_command_is_killed_and_the_task_is_not_lost(
    live: Live, tmp_path: Path, killed: str
) -> None:
    """The task is run again at once, its log is that of the second attempt, and the first
    attempt's command is gone."""
    client, mark = live.client(), tmp_path / "mark"
    line = f"if [ -e {mark} ]; then echo second; else touch {mark}; sleep 600; fi"
    (task_id,) = submit(client, shell(line))
    until(mark.exists)
    child = shell_of(line)
    who = {"cell": [parent(child)], "starter": live.starters(), "executors": live.pids(EXECUTOR)}[killed]
    assert who
    for pid in who:
        os.kill(pid, signal.SIGKILL)
    seen = ended(client, task_id)
    # Its second attempt may begin in the slot of another executor that was killed.
    assert 1 <= seen["losses"] <= len(who)
    assert (seen["status"], seen["attempt"]) == ("completed", seen["losses"] + 1)
    assert client.get(f"/tasks/{task_id}/result").json()["result"]["output"] == "second\n"
    assert client.get(f"/tasks/{task_id}/logs").text == "second\n"
    until(lambda: not Path(f"/proc/{child}").exists())
    assert live.facts("TaskCompleted")[task_id] == 1


def test_a_killed_node_worker_loses_no_task(live: Live, tmp_path: Path) -> None:
    """What it ran is run again by its next life, and what waited is done, each once."""
    client, mark = live.client(), tmp_path / "mark"
    (running,) = submit(client, shell(f"if [ -e {mark} ]; then echo again; else touch {mark}; sleep 600; fi"))
    until(mark.exists)
    others = submit(client, *[function("add", i, i) for i in range(300)])
    dead = live.kill(NODE_WORKER)
    ids = [running, *others]
    seen = [ended(client, task_id) for task_id in ids]
    assert {task["status"] for task in seen} == {"completed"}
    assert (seen[0]["attempt"], seen[0]["losses"]) == (2, 1)
    completions = live.facts("TaskCompleted")
    assert {completions[task_id] for task_id in ids} == {1}
    assert live.pid(NODE_WORKER) != dead
