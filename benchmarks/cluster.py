"""Several raylets on one machine: functions from a REST batch to completed, beside Ray
tasks on the same raylets."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass, field

import orjson

from benchmarks.load import one_by_one, until
from benchmarks.processes import Helix, helix, scratch
from benchmarks.raw_ray import RawRay, joined
from benchmarks.report import Line, Report, Series
from benchmarks.scale import Scale
from benchmarks.throughput import NOOP, Completed, Work

NAME = "cluster"
NODE_CPUS = 2
WAIT_S = 0.02
WAITING: Work = {
    "kind": "function",
    "function": "helix_ray.samples:sleep_until_cancelled",
    "args": [WAIT_S],
}
# Executors that nobody needs give their CPUs back after this long, so that Ray's own tasks find them.
EXECUTOR_IDLE_S = 1.0
FREE_S_MAX = 60.0
ASK_EVERY_S = 0.2
# The executors start, and the scheduler starts carefully with a class of task whose
# duration it does not know yet.
WARM_UP_TASKS = 300


@dataclass(slots=True)
class Found:
    """The rounds of one kind of work on one number of raylets; evenness in percent."""

    ours: list[float] = field(default_factory=list)
    raw: list[float] = field(default_factory=list)
    our_evenness: list[float] = field(default_factory=list)
    raw_evenness: list[float] = field(default_factory=list)


def run(scale: Scale) -> Report:
    """Measure each number of raylets, one cluster after the other."""
    lines: list[Line] = []
    for nodes in scale.raylets:
        for what, found in _measured(nodes, scale).items():
            lines += _lines(f"{nodes} x {NODE_CPUS} CPUs, {what}", nodes, found)
    notes = (
        f"one machine of {len(os.sched_getaffinity(0))} cores: every raylet is given {NODE_CPUS} logical "
        "CPUs, so that waiting scales with "
        "the raylets; what needs a core does not",
        f"ours: REST batches, durable, to the last task completed; a raylet runs {NODE_CPUS} at a "
        "time, so at most "
        f"{NODE_CPUS / WAIT_S:.0f} tasks/s of those that wait",
        "Ray: the same raylets in the same run, in turn; num_cpus=1, submit all, get all; not durable",
        "evenness: what the least busy raylet ran, of an even share",
    )
    return Report(NAME, "several raylets on one machine", tuple(lines), notes)


def _lines(at: str, nodes: int, found: Found) -> list[Line]:
    raw = Series("Ray tasks", "tasks/s", tuple(found.raw))
    lines = [Line(at, Series("", "tasks/s", tuple(found.ours)), raw)]
    if nodes > 1:
        even = Series("Ray tasks", "%", tuple(found.raw_evenness))
        lines.append(Line(f"{at}: evenness", Series("", "%", tuple(found.our_evenness)), even))
    return lines


def _measured(nodes: int, scale: Scale) -> dict[str, Found]:
    works = {
        "no-op functions": (NOOP, 0.0, scale.raylet_noops),
        f"waiting {WAIT_S * 1e3:g} ms": (WAITING, WAIT_S, scale.raylet_waits * nodes),
    }
    found = {what: Found() for what in works}
    offers = orjson.dumps([{"CPU": NODE_CPUS}] * nodes).decode()
    settings = {
        "nodes": str(nodes), "node_resources": offers, "executor_idle_s": str(EXECUTOR_IDLE_S)
    }  # fmt: skip
    with scratch() as folder, helix(folder / "data", **settings) as server:
        completed = Completed(server)
        with joined(folder / "data") as raw:
            for _ in range(scale.raylet_rounds):
                for what, (work, wait_s, count) in works.items():
                    _ours(server, completed, work, count, found[what])
                    _rays(raw, wait_s, count, nodes, found[what])
    return found


def _ours(server: Helix, completed: Completed, work: Work, count: int, found: Found) -> None:
    ask = server.request("GET", "/harmony/nodes")
    # What Ray's tasks held is seen as free by every node again.
    until(server.port, ask, nobody_else, ASK_EVERY_S, FREE_S_MAX)
    completed.tasks_per_s(WARM_UP_TASKS, work)
    before = _by_node(server, ask)
    found.ours.append(completed.tasks_per_s(count, work))
    after = _by_node(server, ask)
    found.our_evenness.append(evenness([after[node] - before[node] for node in after]))


def _rays(raw: RawRay, wait_s: float, count: int, nodes: int, found: Found) -> None:
    ran = raw.run(wait_s, count)
    found.raw.append(ran.tasks_per_s)
    found.raw_evenness.append(evenness([*ran.by_node.values()] + [0] * (nodes - len(ran.by_node))))


def evenness(counts: Collection[int]) -> float:
    """Return the least of the counts in percent of their mean."""
    return 100.0 * min(counts) * len(counts) / sum(counts)


def nobody_else(body: bytes) -> bool:
    """Say whether an answer has no node that others use."""
    return not any(node["foreign"] for node in orjson.loads(body)["nodes"])


def _by_node(server: Helix, ask: bytes) -> Counter[str]:
    [answer] = one_by_one(server.port, [ask])
    return Counter({node["id"]: node["tasks_completed"] for node in orjson.loads(answer.body)["nodes"]})
