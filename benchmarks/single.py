"""POST /tasks and GET /tasks/{id}: one at a time and 64 at once, beside bare Serve's hello world."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import orjson
import psutil

from benchmarks import wrk
from benchmarks.load import Answer, Unexpected, interleaved, one_by_one, percentile, request
from benchmarks.processes import Helix, Server, cpu_s, helix, hello
from benchmarks.report import Line, Report, Series, at_most, ratio_at_least, ratio_at_most
from benchmarks.scale import Scale

NAME = "single"
TASK = {"title": "Test Task", "type": "planning", "priority": "high"}
# Tasks that somebody else changes before they are read.
READ_TASKS = 500
# Tasks that are written for a load of reads, for each second of it; each is read twice, so that no
# read comes round again.
FRESH_TASKS_PER_S = 5_000
BATCH_TASKS = 1_000
POST_MS_MAX = 3.0
POST_SHARE_OF_HELLO = 0.6
GET_TIMES_HELLO = 1.25
GET_SHARE_OF_HELLO = 0.75


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
    processes = {"replica": servers.replica, "master": servers.master}
    return {
        "hello_ms": _ms(greeted, 0.5),
        "post_ms": _ms(posted, 0.5),
        "post_p95_ms": _ms(posted, 0.95),
        **_reads(ours, ids),
        **_many("hello", servers.hello.port, [greet], scale, {"replica": servers.hello_replica}),
        **_many("post", ours.port, [post], scale, processes),
        **_many_reads(ours, scale, processes),
    }


def _reads(ours: Helix, ids: Sequence[str]) -> dict[str, float]:
    """Have one connection change each task, and another one read it twice: half of the
    reads come after its write."""
    steps = []
    for task_id in ids:
        get = ours.request("GET", f"/tasks/{task_id}")
        steps.append((ours.request("PUT", f"/tasks/{task_id}", {"priority": "low"}), (get, get)))
    first, again = zip(*interleaved(ours.port, steps), strict=True)
    return {
        "get_ms": _ms([*first, *again], 0.5),
        "get_p75_ms": _ms([*first, *again], 0.75),
        "get_first_ms": _ms(first, 0.5),
        "get_again_ms": _ms(again, 0.5),
    }


def _many_reads(ours: Helix, scale: Scale, processes: dict[str, psutil.Process]) -> dict[str, float]:
    """Do the same with many connections: each task was written by another one, and is read twice."""
    gets = []
    for _ in range(int(FRESH_TASKS_PER_S * max(1.0, scale.load_s) / BATCH_TASKS)):
        batch = ours.request("POST", "/tasks/batch", {"tasks": [TASK] * BATCH_TASKS})
        [answer] = one_by_one(ours.port, [batch])
        gets += [ours.request("GET", f"/tasks/{task['id']}") for task in orjson.loads(answer.body)["tasks"]]
    twice = [get for get in gets for _ in range(2)]
    return _many("get", ours.port, twice, scale, processes, once=True)


def _ms(answers: Sequence[Answer], share: float) -> float:
    return percentile([answer.seconds for answer in answers], share) * 1e3


def _many(
    name: str,
    port: int,
    requests: Sequence[bytes],
    scale: Scale,
    processes: dict[str, psutil.Process],
    *,
    once: bool = False,
) -> dict[str, float]:
    """Load a server with many connections; return its rate, and the CPU time a request of each process.

    once: raise Unexpected where the requests were too few for the time, so that some were sent twice.
    """
    before = {role: cpu_s(process) for role, process in processes.items()}
    loaded = wrk.load(port, requests, scale.load_s)
    if once and loaded.requests > len(requests):
        raise Unexpected(f"{loaded.requests} requests were answered, and there were {len(requests)}")
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
    get_times = ratio_at_most(GET_TIMES_HELLO, "hello", get_ms, hello_ms)
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
        Line("GET /tasks/{id}, 1 connection, p50", get_ms, hello_ms, get_times),
        Line("  p75", series("get_p75_ms", "ms")),
        Line("  first read after somebody else's write, p50", series("get_first_ms", "ms"), hello_ms),
        Line("  later read, p50", series("get_again_ms", "ms"), hello_ms),
        Line(f"GET /tasks/{{id}}, {many}", get_rps, hello_rps, get_share),
        Line("  CPU of the replica a request", series("get_replica_us", "us"), hello_us),
        Line("  CPU of the master a request", series("get_master_us", "us")),
    )
    notes = (
        f"{wrk.generator()}; one connection by benchmarks/load.py",
        "half of all reads are the first after somebody else's write: as the master has published the task, "
        "or asked of it; the others are the replica's own",
        "CPU time of the processes while the 64 connections load them: what other programs on the machine do "
        "to it is little",
    )
    return Report(NAME, "one task a request, beside bare Serve's hello world", lines, notes)
