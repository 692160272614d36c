"""Requests a second against API replicas, beside bare Serve's hello world, and what of a
request is the master's."""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Sequence

import orjson
import psutil

from benchmarks import wrk
from benchmarks.load import one_by_one, request
from benchmarks.processes import Helix, Server, cpu_s, helix, hello
from benchmarks.report import Line, Report, Series
from benchmarks.scale import Scale

NAME = "width"
TASK = {"title": "Test Task", "type": "planning", "priority": "high"}
READ_TASKS = 200
REPLICAS_MAX = 8
WARM_UP_S = 1.0

Found = defaultdict[tuple[int, str], list[float]]


def run(scale: Scale) -> Report:
    """Serve with one replica, with two, and so on as far as the cores go; hello is measured beside each."""
    counts = range(1, min(REPLICAS_MAX, max(2, _cores() // 2)) + 1)
    found: Found = defaultdict(list)
    with hello() as greeter:
        for count in counts:
            with helix(api_replicas=str(count)) as server:
                _measure(server, greeter, count, scale, found)
    return _report(found, counts)


def _measure(server: Helix, greeter: Server, count: int, scale: Scale, found: Found) -> None:
    post = server.request("POST", "/tasks", TASK)
    ids = [orjson.loads(answer.body)["id"] for answer in one_by_one(server.port, [post] * READ_TASKS)]
    gets = [server.request("GET", f"/tasks/{task_id}") for task_id in ids]
    greet = request("GET", "/", port=greeter.port)
    master = server.actor("Master")
    wrk.load(server.port, gets, WARM_UP_S)
    for _ in range(scale.rounds):
        found[count, "hello"].append(wrk.load(greeter.port, [greet], scale.load_s).per_s)
        for name, requests in (("post", [post]), ("get", gets)):
            rate, master_us = _loaded(server.port, requests, master, scale)
            found[count, name].append(rate)
            found[count, f"{name}_master_us"].append(master_us)


def _loaded(
    port: int, requests: Sequence[bytes], master: psutil.Process, scale: Scale
) -> tuple[float, float]:
    """Return answers a second, and the master's CPU microseconds an answer."""
    before = cpu_s(master)
    loaded = wrk.load(port, requests, scale.load_s)
    return loaded.per_s, (cpu_s(master) - before) / loaded.requests * 1e6


def _report(found: Found, counts: Sequence[int]) -> Report:
    lines = []
    for name, what in (("post", "POST /tasks"), ("get", "GET /tasks/{id}")):
        for count in counts:
            replicas = f"{count} replica{'s' if count > 1 else ''}"
            ours = Series("", "1/s", tuple(found[count, name]))
            anchor = Series("hello", "1/s", tuple(found[count, "hello"]))
            master = Series("", "us", tuple(found[count, f"{name}_master_us"]))
            lines.append(Line(f"{what}, {replicas}", ours, anchor))
            lines.append(Line("  CPU of the master a request", master))
    notes = (
        f"{_cores()} cores for the replicas, the master, hello (one replica) and the load; {wrk.generator()}",
        "the master is one core: its microseconds say how many requests a second it lets through, whatever "
        "the replicas",
    )
    return Report(NAME, "requests a second against API replicas", tuple(lines), notes)


def _cores() -> int:
    return len(os.sched_getaffinity(0))
