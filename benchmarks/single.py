"""POST /tasks and GET /tasks/{id}: one at a time and 64 at once, beside bare Serve's hello world."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import orjson

from benchmarks import wrk
from benchmarks.load import Answer, one_by_one, percentile, request
from benchmarks.processes import Helix, hello, helix
from benchmarks.report import Line, Report, Series, at_most, ratio_at_least
from benchmarks.scale import Scale

NAME = "single"
TASK = {"title": "Test Task", "type": "planning", "priority": "high"}
# Fewer than the replica's cache holds: what is read again and again.
READ_TASKS = 500
POST_MS_MAX = 3.0
GET_MS_MAX = 0.6
POST_SHARE_OF_HELLO = 0.5
GET_SHARE_OF_HELLO = 0.7


@dataclass(slots=True)
class _Rounds:
    """What each round found: milliseconds and requests a second."""

    hello_ms: list[float] = field(default_factory=list)
    hello_rps: list[float] = field(default_factory=list)
    post_ms: list[float] = field(default_factory=list)
    post_p95_ms: list[float] = field(default_factory=list)
    post_rps: list[float] = field(default_factory=list)
    first_get_ms: list[float] = field(default_factory=list)
    get_ms: list[float] = field(default_factory=list)
    get_rps: list[float] = field(default_factory=list)


def run(scale: Scale) -> Report:
    """Measure hello, POST and GET in turn, as many rounds as the scale says."""
    rounds = _Rounds()
    with helix() as server, hello() as hello_port:
        _round(server, hello_port, scale, _Rounds())  # warms both up
        for _ in range(scale.rounds):
            _round(server, hello_port, scale, rounds)
    return _report(rounds)


def _round(server: Helix, hello_port: int, scale: Scale, found: _Rounds) -> None:
    port, count = server.port, scale.single_requests
    greet = request("GET", "/", port=hello_port)
    post = server.request("POST", "/tasks", TASK)
    found.hello_ms.append(_p50_ms(one_by_one(hello_port, [greet] * count)))
    posted = one_by_one(port, [post] * count)
    found.post_ms.append(_p50_ms(posted))
    found.post_p95_ms.append(percentile([answer.seconds for answer in posted], 0.95) * 1e3)
    ids = [orjson.loads(answer.body)["id"] for answer in posted[-READ_TASKS:]]
    gets = [server.request("GET", f"/tasks/{task_id}") for task_id in ids]
    found.first_get_ms.append(_p50_ms(one_by_one(port, gets)))
    found.get_ms.append(_p50_ms(one_by_one(port, gets)))
    found.hello_rps.append(wrk.requests_per_s(hello_port, [greet], scale.load_s))
    found.post_rps.append(wrk.requests_per_s(port, [post], scale.load_s))
    found.get_rps.append(wrk.requests_per_s(port, gets, scale.load_s))


def _p50_ms(answers: Sequence[Answer]) -> float:
    return percentile([answer.seconds for answer in answers], 0.5) * 1e3


def _report(found: _Rounds) -> Report:
    hello_ms = Series("hello", "ms", tuple(found.hello_ms))
    hello_rps = Series("hello", "1/s", tuple(found.hello_rps))
    post_ms, post_rps = Series("", "ms", tuple(found.post_ms)), Series("", "1/s", tuple(found.post_rps))
    get_ms, get_rps = Series("", "ms", tuple(found.get_ms)), Series("", "1/s", tuple(found.get_rps))
    many = f"{wrk.CONNECTIONS} connections"
    lines = (
        Line("POST /tasks, durable, 1 connection, p50", post_ms, hello_ms, at_most(POST_MS_MAX, "ms", post_ms)),
        Line("POST /tasks, durable, 1 connection, p95", Series("", "ms", tuple(found.post_p95_ms))),
        Line(
            f"POST /tasks, durable, {many}", post_rps, hello_rps,
            ratio_at_least(POST_SHARE_OF_HELLO, "hello", post_rps, hello_rps),
        ),
        Line("GET /tasks/{id}, 1 connection, p50", get_ms, hello_ms, at_most(GET_MS_MAX, "ms", get_ms)),
        Line("GET /tasks/{id} after a write, 1 connection, p50", Series("", "ms", tuple(found.first_get_ms)), hello_ms),
        Line(
            f"GET /tasks/{{id}}, {many}", get_rps, hello_rps,
            ratio_at_least(GET_SHARE_OF_HELLO, "hello", get_rps, hello_rps),
        ),
    )  # fmt: skip
    notes = (
        f"{wrk.generator()}; one connection by benchmarks/load.py",
        f"GET asks for {READ_TASKS} tasks in turn; `after a write` is the first read of each, which goes to the master",
    )
    return Report(NAME, "one task a request, beside bare Serve's hello world", lines, notes)
