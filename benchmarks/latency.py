"""One no-op function from its submit over REST to the answer that shows it completed,
beside Celery, Dask and Ray."""

from __future__ import annotations

import time

import orjson
import uvloop

from benchmarks import anchors
from benchmarks.load import Connection, percentile
from benchmarks.processes import Helix, helix
from benchmarks.report import Line, Report, Series, at_most
from benchmarks.scale import Scale
from benchmarks.throughput import NOOP, Work

NAME = "latency"
P50_MS_MAX = 8.0
P95_MS_MAX = 25.0
WAIT_S = 10
WARM_UP_TASKS = 100

Rounds = dict[str, list[float]]


def run(scale: Scale) -> Report:
    """Submit one, wait until it is seen completed, and again; in turn with the anchors."""
    p50: Rounds = {}
    p95: Rounds = {}
    with helix() as server, anchors.running() as (others, missing):
        latencies(server, WARM_UP_TASKS)
        for _ in range(scale.rounds):
            found = {"": latencies(server, scale.latency_tasks)}
            found |= {other.name: other.latencies(scale.latency_tasks) for other in others}
            for name, taken in found.items():
                p50.setdefault(name, []).append(percentile(taken, 0.5) * 1e3)
                p95.setdefault(name, []).append(percentile(taken, 0.95) * 1e3)
    lines = (*_against("p50", p50, P50_MS_MAX), *_against("p95", p95, P95_MS_MAX))
    notes = (
        f"ours: POST /tasks, then GET /tasks/{{id}}/result?wait_s={WAIT_S} on the same connection",
        "anchors: ray.get of one remote task, Celery's delay().get(), Dask's submit().result(): "
        "each waits to be told",
        *missing,
    )
    return Report(NAME, "one task, submit to completed seen", lines, notes)


def _against(what: str, rounds: Rounds, limit_ms: float) -> list[Line]:
    """Return a line an anchor; the first carries the goal."""
    ours = Series("", "ms", tuple(rounds[""]))
    others: list[Series | None] = [
        Series(name, "ms", tuple(values)) for name, values in rounds.items() if name
    ]
    goal = at_most(limit_ms, "ms", ours)
    return [Line(what, ours, other, goal if i == 0 else None) for i, other in enumerate(others or [None])]


def latencies(server: Helix, count: int, work: Work = NOOP) -> list[float]:
    """Return for each of `count` tasks the seconds from its submit to the answer that shows it completed."""
    post = server.request("POST", "/tasks", {"title": "Test Task", "type": "building", "run": work})

    async def one(connection: Connection) -> float:
        started = time.perf_counter()
        task = orjson.loads((await connection.exchange(post)).body)
        ask = server.request("GET", f"/tasks/{task['id']}/result?wait_s={WAIT_S}")
        result = orjson.loads((await connection.exchange(ask)).body)
        taken = time.perf_counter() - started
        if result["status"] != "completed":
            raise AssertionError(f"the task came to {result}")
        return taken

    async def all_of_them() -> list[float]:
        connection = await Connection.open(server.port)
        try:
            return [await one(connection) for _ in range(count)]
        finally:
            connection.close()

    return uvloop.run(all_of_them())
