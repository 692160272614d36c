"""A data set over several nodes: its rows are there once and in order, also where a node is killed."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import numpy as np

from actors.gateway import RayControlPlane
from helix_ray.core.access import SYSTEM
from helix_ray.core.questions import GetResult, GetTask
from helix_ray.digits import as_image, held_out
from helix_ray.inference.onnx import ModelStore
from helix_ray.inference.outputs import arrays_of
from tests.ray.conftest import WAIT_S_MAX, LiveCluster
from tests.ray.signals import until

MODEL = "digits_resnet20"
# A shard takes long enough to be lost with its node when it was seen to run behind one that had ended.
ROWS = 32_000
SHARDS = 16
SCENES_MAX = 5


def labels_of(path: Path) -> Any:
    """Write a data set of digits to a file; return the labels that the model gives them here."""
    images = as_image(held_out()[0])
    every = np.arange(ROWS) % len(images)
    np.save(path, images[every])
    logits = ModelStore().session(MODEL).run(None, {"image": images})[0]
    return np.argmax(logits, axis=1)[every]


def shards(cluster: LiveCluster, task_id: str) -> list[dict[str, Any]]:
    """Return all shards as they are at one moment."""

    async def ask(plane: RayControlPlane) -> list[Any]:
        questions = [GetTask(f"{task_id}-s{index}") for index in range(SHARDS)]
        return await asyncio.gather(*(plane.query(each, SYSTEM) for each in questions))

    return cluster.run(ask)


def begun(cluster: LiveCluster, input_uri: str, added: str) -> tuple[str, list[str]]:
    """Submit the task; return it and what has ended of it, as soon as of the added node's shards one has
    ended and one runs.

    A busy machine may look too late to see that: then all of them have ended, and another task is submitted.
    """
    run = {"kind": "inference", "model": MODEL, "input_uri": input_uri, "output": "jsonl", "batch_size": 16}
    spec = {"title": "digits", "type": "testing", "run": run, "shards": {"count": SHARDS}}
    for _ in range(SCENES_MAX):
        (task_id,) = cluster.submit(spec)
        now: list[dict[str, Any]] = []

        def statuses_there(now: list[dict[str, Any]] = now) -> set[str]:
            return {shard["status"] for shard in now if shard["assigned_worker"] == added}

        def seen(task_id: str = task_id, now: list[dict[str, Any]] = now) -> bool:
            now[:] = shards(cluster, task_id)
            in_the_middle = {"completed", "running"} <= statuses_there()
            return in_the_middle or all(shard["status"] == "completed" for shard in now)

        until(seen, WAIT_S_MAX)
        if "running" in statuses_there():
            return task_id, [shard["id"] for shard in now if shard["status"] == "completed"]
    raise AssertionError("the shards of the added node were never seen in the middle")


def test_a_killed_node_costs_its_own_shards_only(cluster: LiveCluster, tmp_path: Path) -> None:
    """They are run again elsewhere, alone; what had ended is not repeated, also where it ended on that node,
    no row is missing or twice, and all are in order."""
    labels = labels_of(tmp_path / "digits.npy")
    with cluster.extra_node() as (extra, added):
        task_id, ended = begun(cluster, f"file://{tmp_path}/digits.npy", added)
        cluster.ray_cluster.remove_node(extra, allow_graceful=False)
        assert cluster.outcomes([task_id])[task_id]["status"] == "completed"
        result = cluster.ask(GetResult(task_id))["result"]
        assert (np.argmax(arrays_of(result)["logits"], axis=1) == labels).all()
        assert (result["rows"], result["precisions"]) == (ROWS, {"fp32": ROWS})
        after = {shard["id"]: shard for shard in shards(cluster, task_id)}
        outcomes = cluster.outcomes(list(after)).values()
        assert {outcome["result"]["stored"] for outcome in outcomes} == {"file"}
        assert sum(shard["losses"] for shard in after.values()) >= 1
        assert all((after[name]["attempt"], after[name]["losses"]) == (1, 0) for name in ended)
