"""POST /tasks/batch of tasks that nobody runs: how fast tasks are taken in, each of them
durable when it is answered."""

from __future__ import annotations

import time
from collections.abc import Sequence

import orjson

from benchmarks.load import Answer, side_by_side
from benchmarks.processes import Helix, helix
from benchmarks.report import Line, Report, Series, at_least
from benchmarks.scale import Scale

NAME = "bulk"
BATCH_TASKS = 10_000
TASKS_PER_S_MIN = 20_000.0


def run(scale: Scale) -> Report:
    """Submit on one connection and on two, in turn."""
    one: list[float] = []
    two: list[float] = []
    with helix() as server:
        body = batch(BATCH_TASKS)
        submit(server, [body], 1)
        for _ in range(scale.rounds):
            bodies = [body] * max(2, scale.bulk_tasks // BATCH_TASKS)
            one.append(_tasks_per_s(server, bodies, 1))
            two.append(_tasks_per_s(server, bodies, 2))
    single, double = Series("", "tasks/s", tuple(one)), Series("", "tasks/s", tuple(two))
    lines = (
        Line("1 connection", single),
        Line("2 connections", double, goal=at_least(TASKS_PER_S_MIN, "tasks/s", double)),
    )
    notes = (
        f"{BATCH_TASKS:,} tasks a request; the bodies are made before the clock runs, the answers are "
        "checked after",
    )
    return Report(NAME, "bulk submit over REST, durable", lines, notes)


def batch(count: int, run: object = None) -> bytes:
    """Return a batch's body; `run` is the tasks' run object, if they have one."""
    task: dict[str, object] = {"title": "Test Task", "type": "building", "priority": "normal"}
    if run is not None:
        task["run"] = run
    return orjson.dumps({"tasks": [task] * count})


def submit(server: Helix, bodies: Sequence[bytes], connections: int) -> list[Answer]:
    """Submit batches; return their answers."""
    requests = [server.request("POST", "/tasks/batch", body) for body in bodies]
    return side_by_side(server.port, requests, connections)


def accepted(answers: Sequence[Answer]) -> list[str]:
    """Return the ids of the tasks that were taken in; raises KeyError where one was refused."""
    return [task["id"] for answer in answers for task in orjson.loads(answer.body)["tasks"]]


def _tasks_per_s(server: Helix, bodies: Sequence[bytes], connections: int) -> float:
    started = time.perf_counter()
    answers = submit(server, bodies, connections)
    taken = time.perf_counter() - started
    return len(set(accepted(answers))) / taken
