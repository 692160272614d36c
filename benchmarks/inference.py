"""A data set through a model on 1, 2 and 4 raylets of one CPU, beside a plain loop of ONNX Runtime and Ray
Data."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import orjson

from benchmarks.cluster import ASK_EVERY_S, FREE_S_MAX, nobody_else
from benchmarks.load import one_by_one, until
from benchmarks.plain_onnx import plain_loop
from benchmarks.processes import Helix, helix, scratch, tree_cpu_s
from benchmarks.ray_data import RayData, joined
from benchmarks.report import Line, Report, Series, ratio_at_least, ratio_at_most
from benchmarks.scale import Scale
from helix_ray.digits import as_rows, held_out

NAME = "inference"
MODEL = "digits_transformer"
BATCH_ROWS = 32
SHARDS_PER_NODE = 4
RATIO_MIN = 0.85
UNIT = "rows/s"
CPU_UNIT = "us/row"
WAIT_S = 25
# An executor must outlast the end of a run, or its CPU time is lost with it; and it must end soon, so that
# Ray Data finds free CPUs.
EXECUTOR_IDLE_S = 6.0
REST_S = 4.0


@dataclass(slots=True)
class Found:
    """The rounds on one number of raylets; CPU time in microseconds a row."""

    ours: list[float] = field(default_factory=list)
    plain: list[float] = field(default_factory=list)
    our_cpu: list[float] = field(default_factory=list)
    plain_cpu: list[float] = field(default_factory=list)
    at_rest_cpu: list[float] = field(default_factory=list)
    ray_data: list[float] = field(default_factory=list)


def run(scale: Scale) -> Report:
    """Measure each number of raylets, one cluster after the other."""
    cores = len(os.sched_getaffinity(0))
    lines: list[Line] = []
    with scratch() as folder:
        data = written(folder, scale.inference_rows)
        for nodes in scale.raylets:
            lines += _lines(nodes, cores, _measured(nodes, min(nodes, cores), data, scale))
    notes = (
        f"{scale.inference_rows:,} rows of {MODEL} in batches of {BATCH_ROWS}, from a .npy file to the "
        f"result of all rows at the client; one thread for each session, {SHARDS_PER_NODE} shards a raylet",
        f"the loop: as many processes as raylets, but at most one for each of the {cores} cores; one session "
        "each, rows from a mapped file, outputs kept",
        "Ray Data: map_batches with an actor for each raylet on the same raylets, blocks in the object store "
        "before the clock starts; it starts its actors with each run, while ours are warm",
        "CPU time: of all processes of the server, Ray's among them, and of the loop: it shows what a row "
        "costs also on a machine that runs other programs",
        f"the cluster at rest: what these processes use in {REST_S:g} s without a task, for as long as a "
        "run takes",
    )
    return Report(NAME, "a data set through a model", tuple(lines), notes)


def written(folder: Path, rows: int) -> Path:
    """Write a data set of digits."""
    digits = as_rows(held_out()[0])
    path = folder / "digits.npy"
    np.save(path, digits[np.arange(rows) % len(digits)])
    return path


def _lines(nodes: int, cores: int, found: Found) -> list[Line]:
    at = f"{nodes} raylet{'s' if nodes > 1 else ''}"
    ours = Series("", UNIT, tuple(found.ours))
    plain = Series("plain loop", UNIT, tuple(found.plain))
    goal = ratio_at_least(RATIO_MIN, "the loop", ours, plain) if nodes <= cores else None
    lines = [Line(at, ours, plain, goal)]
    our_cpu = Series("", CPU_UNIT, tuple(found.our_cpu))
    plain_cpu = Series("plain loop", CPU_UNIT, tuple(found.plain_cpu))
    cpu_goal = ratio_at_most(1 / RATIO_MIN, "the loop", our_cpu, plain_cpu)
    lines.append(Line(f"{at}: CPU time", our_cpu, plain_cpu, cpu_goal))
    lines.append(Line(f"{at}: of it, the cluster at rest", Series("", CPU_UNIT, tuple(found.at_rest_cpu))))
    if found.ray_data:
        data = Series("Ray Data", UNIT, tuple(found.ray_data))
        lines.append(Line(at, ours, data, ratio_at_least(1.0, "Ray Data", ours, data)))
    return lines


def _measured(nodes: int, processes: int, data: Path, scale: Scale) -> Found:
    found = Found()
    offers = orjson.dumps([{"CPU": 1}] * nodes).decode()
    settings = {
        "nodes": str(nodes), "node_resources": offers, "executor_idle_s": str(EXECUTOR_IDLE_S),
        "input_dirs": str(data.parent),
    }  # fmt: skip
    with scratch() as folder, helix(folder / "data", **settings) as server:
        _inferred(server, data, SHARDS_PER_NODE * nodes)
        at_rest = _at_rest(server)
        has_ray_data = find_spec("pyarrow") is not None
        for _ in range(scale.inference_rounds):
            _ours(server, data, nodes, scale.inference_rows, found)
            found.at_rest_cpu.append(1e6 * at_rest / found.ours[-1])
            per_s, used = plain_loop(data, MODEL, BATCH_ROWS, processes)
            found.plain.append(per_s)
            found.plain_cpu.append(1e6 * used / scale.inference_rows)
            if has_ray_data:
                with joined(folder / "data") as driver:
                    found.ray_data.append(_rays(driver, data, nodes))
    return found


def _at_rest(server: Helix) -> float:
    """Return what part of a core the server uses without a task."""
    used = tree_cpu_s(server.pid)
    time.sleep(REST_S)
    return (tree_cpu_s(server.pid) - used) / REST_S


def _ours(server: Helix, data: Path, nodes: int, rows: int, found: Found) -> None:
    # What Ray's actors held is seen as free by every node again.
    until(server.port, server.request("GET", "/harmony/nodes"), nobody_else, ASK_EVERY_S, FREE_S_MAX)
    # As many shards as in the run, so that every raylet has an executor.
    _inferred(server, data, SHARDS_PER_NODE * nodes)
    started, used = time.perf_counter(), tree_cpu_s(server.pid)
    result = _inferred(server, data, SHARDS_PER_NODE * nodes)
    taken = time.perf_counter() - started
    assert result["rows"] == rows
    found.ours.append(rows / taken)
    found.our_cpu.append(1e6 * (tree_cpu_s(server.pid) - used) / rows)


def _inferred(server: Helix, data: Path, shards: int) -> Any:
    """Run the model on all rows; return the result with its values."""
    run = {"kind": "inference", "model": MODEL, "input_uri": f"file://{data}", "batch_size": BATCH_ROWS}
    task = {"title": "rows", "type": "testing", "run": {**run, "output": "npy"}, "shards": shards}
    [created] = one_by_one(server.port, [server.request("POST", "/tasks", task)])
    ask = server.request("GET", f"/tasks/{orjson.loads(created.body)['id']}/result?wait_s={WAIT_S}")
    while True:
        [answer] = one_by_one(server.port, [ask], range(200, 500))
        body = orjson.loads(answer.body)
        if "result" in body:
            assert body["status"] == "completed", body["error"]
            return body["result"]


def _rays(driver: RayData, data: Path, nodes: int) -> float:
    return driver.rows_per_s(data, MODEL, BATCH_ROWS, nodes)
