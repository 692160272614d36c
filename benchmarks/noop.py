"""No-op functions from REST to completed, durable, beside raw Ray tasks, Celery and Dask: many at once, and one by one."""

from __future__ import annotations

import random
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager

import orjson

from benchmarks import anchors
from benchmarks.anchors import Anchor
from benchmarks.bulk import BATCH_TASKS, accepted, batch, submit
from benchmarks.load import one_by_one, percentile, side_by_side, until
from benchmarks.processes import DidNotStart, Helix, helix
from benchmarks.report import Goal, Line, Report, Series, at_most, ratio_at_least
from benchmarks.scale import Scale

NAMES = ("throughput", "latency")
NOOP = {"kind": "function", "function": "helix_ray.samples:noop"}
TIMES_RAY = 5.0
P50_MS_MAX = 8.0
P95_MS_MAX = 25.0
COMPLETED_S_MAX = 120.0
# How often it is asked whether all are done, and whether the one is.
ALL_DONE_EVERY_S = 0.05
ONE_DONE_EVERY_S = 0.001
RESULTS_CHECKED = 200
# Ray forgets how it learned to place: the first second on a cluster is not what it does later.
WARM_UP_TASKS = 2_000

Series_ = dict[str, list[float]]


def throughput(scale: Scale) -> Report:
    """Submit and complete many, in turn with the anchors."""
    ours: list[float] = []
    theirs: Series_ = {}
    with _systems() as (server, others, missing):
        completed = Completed(server)
        completed.tasks_per_s(WARM_UP_TASKS)
        for _ in range(scale.rounds):
            ours.append(completed.tasks_per_s(scale.noop_tasks))
            for other in others:
                theirs.setdefault(other.name, []).append(other.tasks_per_s(scale.anchor_tasks))
    mine = Series("", "tasks/s", tuple(ours))
    lines = [
        Line(f"{scale.noop_tasks:,} no-op functions", mine, series, _times_ray(mine, series))
        for series in (Series(name, "tasks/s", tuple(rounds)) for name, rounds in theirs.items())
    ]
    notes = (
        f"ours: REST batches of {BATCH_TASKS:,} to the last task completed, {RESULTS_CHECKED} results checked",
        f"anchors: {scale.anchor_tasks:,} tasks from the first submit to the last result; none of theirs is durable",
        *missing,
    )
    return Report(NAMES[0], "bulk submit to completed", tuple(lines), notes)


def latency(scale: Scale) -> Report:
    """Submit one, wait until it is seen completed, and again; in turn with the anchors."""
    p50: Series_ = {}
    p95: Series_ = {}
    with _systems() as (server, others, missing):
        one_task_latencies(server, scale.latency_tasks)
        for _ in range(scale.rounds):
            found = {"": one_task_latencies(server, scale.latency_tasks)}
            found |= {other.name: other.latencies(scale.latency_tasks) for other in others}
            for name, taken in found.items():
                p50.setdefault(name, []).append(percentile(taken, 0.5) * 1e3)
                p95.setdefault(name, []).append(percentile(taken, 0.95) * 1e3)
    lines = [*_against("p50", p50, P50_MS_MAX), *_against("p95", p95, P95_MS_MAX)]
    notes = (
        f"ours: POST /tasks, then GET /tasks/{{id}} every {ONE_DONE_EVERY_S * 1e3:g} ms on the same connection",
        "anchors: ray.get of one remote task, Celery's delay().get(), Dask's submit().result()",
        *missing,
    )
    return Report(NAMES[1], "one task, submit to completed seen", tuple(lines), notes)


def _against(what: str, rounds: Series_, limit_ms: float) -> list[Line]:
    ours = Series("", "ms", tuple(rounds[""]))
    others = [Series(name, "ms", tuple(values)) for name, values in rounds.items() if name]
    goals = [at_most(limit_ms, "ms", ours)] + [None] * len(others)
    return [Line(what, ours, other, goal) for other, goal in zip(others or [None], goals, strict=False)]


def _times_ray(ours: Series, anchor: Series) -> Goal | None:
    return ratio_at_least(TIMES_RAY, "Ray tasks", ours, anchor) if anchor.name == anchors.RawRay.name else None


@contextmanager
def _systems() -> Iterator[tuple[Helix, list[Anchor], list[str]]]:
    """Start everything that is compared; an anchor that cannot start is named instead."""
    missing: list[str] = []
    running: list[Anchor] = []
    with ExitStack() as stack:
        server = stack.enter_context(helix())
        for start in (anchors.raw_ray, anchors.celery_redis, anchors.dask):
            try:
                running.append(stack.enter_context(start()))
            except (DidNotStart, ImportError) as error:
                missing.append(f"left out: {start.__name__}: {error}")
        yield server, running, missing


class Completed:
    """Runs no-op functions on a server and knows how many were completed before."""

    def __init__(self, server: Helix) -> None:
        self._server = server
        self._before = 0
        self._ask = server.request("GET", "/tasks?status=completed&limit=1")

    def tasks_per_s(self, count: int) -> float:
        """Submit so many, wait until all are completed, check some results; return tasks a second."""
        full, rest = divmod(count, BATCH_TASKS)
        bodies = [batch(BATCH_TASKS, NOOP)] * full + ([batch(rest, NOOP)] if rest else [])
        wanted = self._before + count
        started = time.perf_counter()
        answers = submit(self._server, bodies, 1)
        until(self._server.port, self._ask, lambda body: _total(body) >= wanted, ALL_DONE_EVERY_S, COMPLETED_S_MAX)
        taken = time.perf_counter() - started
        self._before = wanted
        self._check(accepted(answers))
        return count / taken

    def _check(self, ids: Sequence[str]) -> None:
        some = random.sample(ids, min(RESULTS_CHECKED, len(ids)))
        asked = [self._server.request("GET", f"/tasks/{task_id}/result") for task_id in some]
        for answer in side_by_side(self._server.port, asked, 4):
            result = orjson.loads(answer.body)["result"]
            if result != {"success": True, "value": None}:
                raise AssertionError(f"a no-op function came back with {result}")


def _total(body: bytes) -> int:
    return int(orjson.loads(body)["total"])


def one_task_latencies(server: Helix, count: int) -> list[float]:
    """Return for each of `count` tasks the seconds from its submit to the answer that shows it completed."""
    post = server.request("POST", "/tasks", {"title": "Test Task", "type": "building", "run": NOOP})
    taken = []
    for _ in range(count):
        started = time.perf_counter()
        [answer] = one_by_one(server.port, [post])
        ask = server.request("GET", f"/tasks/{orjson.loads(answer.body)['id']}")
        until(server.port, ask, _completed, ONE_DONE_EVERY_S, COMPLETED_S_MAX)
        taken.append(time.perf_counter() - started)
    return taken


def _completed(body: bytes) -> bool:
    return bool(orjson.loads(body)["status"] == "completed")
