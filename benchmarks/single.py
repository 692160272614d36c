"""POST /tasks and GET /tasks/{id}: one at a time and 64 at once, beside bare Serve's hello world."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import orjson
import psutil

from benchmarks import wrk
from benchmarks.load import Answer, one_by_one, percentile, request
from benchmarks.processes import Helix, Server, cpu_s, helix, hello
from benchmarks.report import Line, Report, Series, at_most, ratio_at_least
from benchmarks.scale import Scale

NAME = "single"
TASK = {"title": "Test Task", "type": "planning", "priority": "high"}
# What is read again and again.
READ_TASKS = 500
POST_MS_MAX = 3.0
GET_MS_MAX = 0.6
POST_SHARE_OF_HELLO = 0.5
GET_SHARE_OF_HELLO = 0.7


@dataclass(frozen=True, slots=True)
class _Servers:
    """Both servers, and the processes whose CPU time is read."""

    ours: Helix
    hello: Server
    replica: psutil.Process
    master: psutil.Process
    hello_replica: psutil.Process


def run(scale: Scale) -> Report:
    """Measure hello, POST and GET in turn, as many rounds as the scale says."""
    found: defaultdict[str, list[float]] = defaultdict(list)
    with helix() as ours, hello() as greeter:
        servers = _Servers(
            ours,
            greeter,
            ours.actor("ServeReplica:helix"),
            ours.actor("Master"),
            greeter.actor("ServeReplica:hello"),
        )
        _round(servers, scale)  # warms both up
        for _ in range(scale.rounds):
            for name, value in _round(servers, scale).items():
                found[name].append(value)
    return _report(found)


def _round(servers: _Servers, scale: Scale) -> dict[str, float]:
    """Return one round's figures by name: ms for one connection, answers a second and us of CPU for many."""
    ours, count = servers.ours, scale.single_requests
    greet = request("GET", "/", port=servers.hello.port)
    post = ours.request("POST", "/tasks", TASK)
    greeted = one_by_one(servers.hello.port, [greet] * count)
    posted = one_by_one(ours.port, [post] * count)
    ids = [orjson.loads(answer.body)["id"] for answer in posted[-READ_TASKS:]]
    gets = [ours.request("GET", f"/tasks/{task_id}") for task_id in ids]
    return {
        "hello_ms": _ms(greeted, 0.5),
        "post_ms": _ms(posted, 0.5),
        "post_p95_ms": _ms(posted, 0.95),
        "get_ms": _ms(one_by_one(ours.port, gets), 0.5),
        **_many("hello", servers.hello.port, [greet], scale, {"replica": servers.hello_replica}),
        **_many("post", ours.port, [post], scale, {"replica": servers.replica, "master": servers.master}),
        **_many("get", ours.port, gets, scale, {"replica": servers.replica, "master": servers.master}),
    }


def _ms(answers: Sequence[Answer], share: float) -> float:
    return percentile([answer.seconds for answer in answers], share) * 1e3


def _many(
    name: str, port: int, requests: Sequence[bytes], scale: Scale, processes: dict[str, psutil.Process]
) -> dict[str, float]:
    """Load a server with many connections; return its rate, and the CPU time a request of each process."""
    before = {role: cpu_s(process) for role, process in processes.items()}
    loaded = wrk.load(port, requests, scale.load_s)
    used = {role: cpu_s(process) - before[role] for role, process in processes.items()}
    return {f"{name}_rps": loaded.per_s} | {
        f"{name}_{role}_us": seconds / loaded.requests * 1e6 for role, seconds in used.items()
    }


def _report(found: dict[str, list[float]]) -> Report:
    def series(name: str, unit: str, label: str = "") -> Series:
        return Series(label, unit, tuple(found[name]))

    hello_ms, hello_rps = series("hello_ms", "ms", "hello"), series("hello_rps", "1/s", "hello")
    hello_us = series("hello_replica_us", "us", "hello")
    post_ms, post_rps = series("post_ms", "ms"), series("post_rps", "1/s")
    get_ms, get_rps = series("get_ms", "ms"), series("get_rps", "1/s")
    post_share = ratio_at_least(POST_SHARE_OF_HELLO, "hello", post_rps, hello_rps)
    get_share = ratio_at_least(GET_SHARE_OF_HELLO, "hello", get_rps, hello_rps)
    many = f"{wrk.CONNECTIONS} connections"
    lines = (
        Line(
            "POST /tasks, durable, 1 connection, p50", post_ms, hello_ms, at_most(POST_MS_MAX, "ms", post_ms)
        ),
        Line("POST /tasks, durable, 1 connection, p95", series("post_p95_ms", "ms")),
        Line(f"POST /tasks, durable, {many}", post_rps, hello_rps, post_share),
        Line("  CPU of the replica a request", series("post_replica_us", "us"), hello_us),
        Line("  CPU of the master a request", series("post_master_us", "us")),
        Line("GET /tasks/{id}, 1 connection, p50", get_ms, hello_ms, at_most(GET_MS_MAX, "ms", get_ms)),
        Line(f"GET /tasks/{{id}}, {many}", get_rps, hello_rps, get_share),
        Line("  CPU of the replica a request", series("get_replica_us", "us"), hello_us),
        Line("  CPU of the master a request", series("get_master_us", "us")),
    )
    notes = (
        f"{wrk.generator()}; one connection by benchmarks/load.py",
        f"GET asks for {READ_TASKS} tasks in turn; the first read of each is the master's",
        "CPU time of the processes while the 64 connections load them: what other programs on the machine do to it is little",
    )
    return Report(NAME, "one task a request, beside bare Serve's hello world", lines, notes)
