"""No-op functions from a REST batch to all completed, durable, beside raw Ray tasks, Celery and Dask."""

from __future__ import annotations

import contextlib
import random
import re
import statistics
import time
from collections import defaultdict
from collections.abc import Mapping, Sequence

import orjson

from benchmarks import anchors
from benchmarks.anchors import Anchor
from benchmarks.bulk import BATCH_TASKS, accepted, batch, submit
from benchmarks.load import Unexpected, one_by_one, side_by_side, until
from benchmarks.processes import Helix, helix
from benchmarks.report import Goal, Line, Report, Series, ratio_at_least
from benchmarks.scale import Scale
from helix_ray.wire.tasks import RESULT_WAIT_S_MAX

NAME = "throughput"
Work = dict[str, object]
NOOP: Work = {"kind": "function", "function": "helix_ray.samples:noop"}
TIMES_RAY = 5.0
COMPLETED_S_MAX = 300.0
WAITS_MAX = 12
# The id of the last task of an answer, without reading all of it while the clock runs.
LAST_ID, LAST_TASK_BYTES = re.compile(rb'"id":"([^"]+)"'), 1000
ASK_EVERY_S = 0.01
RESULTS_CHECKED = 200
# The scheduler starts carefully with a class of task whose duration it does not know yet.
WARM_UP_TASKS = 2_000
CPU_NAMES_MAX = 8
# How many rounds the lasting load has: longer than the history lets facts gather.
LASTING_ROUNDS = 5


def run(scale: Scale) -> Report:
    """Submit and complete many, in turn with the anchors."""
    ours: list[float] = []
    theirs: dict[str, list[float]] = {}
    used: defaultdict[str, float] = defaultdict(float)
    with helix() as server, anchors.running() as (others, missing):
        completed = Completed(server)
        completed.tasks_per_s(WARM_UP_TASKS)
        for _ in range(scale.rounds):
            before = server.cpu_by_actor()
            ours.append(completed.tasks_per_s(scale.noop_tasks))
            # The views of these tasks cost this round, not the anchors that come next.
            completed.followed()
            for name, seconds in server.cpu_by_actor().items():
                used[name] += max(0.0, seconds - before.get(name, 0.0))
            for other in others:
                theirs.setdefault(other.name, []).append(other.tasks_per_s(_count(other, scale)))
        lasting = completed.lasting_per_s(scale.noop_tasks * LASTING_ROUNDS)
    mine = Series("", "tasks/s", tuple(ours))
    what = f"{scale.noop_tasks:,} no-op functions"
    lines = [
        Line(what, mine, series, _times_ray(mine, series))
        for series in (Series(name, "tasks/s", tuple(rounds)) for name, rounds in theirs.items())
    ]
    cpu = _cpu(used, scale.noop_tasks * scale.rounds)
    lines += _lasting(lasting, theirs.get(anchors.RawRay.name), scale.noop_tasks * LASTING_ROUNDS)
    notes = (
        f"ours: REST batches of {BATCH_TASKS:,}, to the last task completed; {RESULTS_CHECKED} results a "
        "round are checked",
        f"Ray runs as many, the others {scale.anchor_tasks:,}, from the first submit to the last result; "
        "none is durable",
        f"CPU microseconds a task, of a round alone, until the history has it: {cpu}",
        *missing,
    )
    return Report(NAME, "bulk submit to completed", tuple(lines) or (Line(what, mine),), notes)


def _cpu(used: Mapping[str, float], tasks: int) -> str:
    """Return how the CPU time of many tasks is spread over our processes."""
    most = sorted(used.items(), key=lambda item: -item[1])[:CPU_NAMES_MAX]
    each = (f"{name} {seconds / tasks * 1e6:.0f}" for name, seconds in most)
    return ", ".join((*each, f"sum {sum(used.values()) / tasks * 1e6:.0f}"))


def _count(other: Anchor, scale: Scale) -> int:
    """Return how many tasks an anchor gets: as many as we do where there is a goal, else
    what takes some seconds."""
    return scale.noop_tasks if other.name == anchors.RawRay.name else scale.anchor_tasks


def _times_ray(ours: Series, anchor: Series) -> Goal | None:
    return (
        ratio_at_least(TIMES_RAY, "Ray tasks", ours, anchor) if anchor.name == anchors.RawRay.name else None
    )


def _lasting(rate: float, ray: Sequence[float] | None, count: int) -> list[Line]:
    """Return the line of the lasting load beside the median of Ray's rounds."""
    anchor = Series(anchors.RawRay.name, "tasks/s", (statistics.median(ray),)) if ray else None
    return [Line(f"{count:,} at once, until the history has them", Series("", "tasks/s", (rate,)), anchor)]


class Completed:
    """Runs functions on a server and knows how many were completed before."""

    def __init__(self, server: Helix) -> None:
        self._server = server
        self._before = 0
        self._ask = server.request("GET", "/tasks?status=completed&limit=1")
        self._audit = server.request("GET", "/aurora/audit?limit=1")

    def tasks_per_s(self, count: int, work: Work = NOOP) -> float:
        """Submit so many, wait until all are completed, check some results; return tasks a second."""
        full, rest = divmod(count, BATCH_TASKS)
        bodies = [batch(BATCH_TASKS, work)] * full + ([batch(rest, work)] if rest else [])
        wanted = self._before + count
        started = time.perf_counter()
        answers = submit(self._server, bodies, 1)
        self._wait_for(LAST_ID.findall(answers[-1].body[-LAST_TASK_BYTES:])[-1].decode())
        until(self._server.port, self._ask, lambda body: _total(body) >= wanted, ASK_EVERY_S, COMPLETED_S_MAX)
        taken = time.perf_counter() - started
        self._before = wanted
        self._check(accepted(answers))
        return count / taken

    def _wait_for(self, task_id: str) -> None:
        """Wait until a task has ended, as a client does: the server answers when it has, or with a conflict
        after its longest wait."""
        data = self._server.request("GET", f"/tasks/{task_id}/result?wait_s={RESULT_WAIT_S_MAX}")
        for _ in range(WAITS_MAX):
            with contextlib.suppress(Unexpected):
                one_by_one(self._server.port, [data])
                return

    def lasting_per_s(self, count: int) -> float:
        """Return tasks a second with the views of all of them inside the clock."""
        started = time.perf_counter()
        self.tasks_per_s(count)
        self.followed()
        return count / (time.perf_counter() - started)

    def followed(self) -> None:
        """Wait until the history has what has happened so far."""
        until(self._server.port, self._audit, _has_records, ASK_EVERY_S, COMPLETED_S_MAX)

    def others(self, count: int) -> None:
        """Know of so many that were completed without this."""
        self._before += count

    def _check(self, ids: Sequence[str]) -> None:
        some = random.sample(ids, min(RESULTS_CHECKED, len(ids)))
        asked = [self._server.request("GET", f"/tasks/{task_id}/result") for task_id in some]
        for answer in side_by_side(self._server.port, asked, 4):
            result = orjson.loads(answer.body)["result"]
            if not result["success"]:
                raise AssertionError(f"a task came back with {result}")


def _has_records(body: bytes) -> bool:
    """Say whether an answer is a page of the audit, and not a refusal of a history that is behind."""
    return "error" not in orjson.loads(body)


def _total(body: bytes) -> int:
    return int(orjson.loads(body)["total"])
