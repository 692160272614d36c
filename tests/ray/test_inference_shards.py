"""A data set over several nodes: its rows are there once and in order, also where a node is killed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from helix_ray.core.questions import GetResult, GetTask
from helix_ray.digits import as_image, held_out
from helix_ray.inference.onnx import ModelStore
from helix_ray.inference.outputs import arrays_of
from tests.ray.conftest import LiveCluster
from tests.ray.signals import until

MODEL = "digits_resnet20"
# A shard takes long enough to be lost with its node when it was seen to run behind one that had ended.
ROWS = 32_000
SHARDS = 16


def labels_of(path: Path) -> Any:
    """Write a data set of digits to a file; return the labels that the model gives them here."""
    images = as_image(held_out()[0])
    every = np.arange(ROWS) % len(images)
    np.save(path, images[every])
    logits = ModelStore().session(MODEL).run(None, {"image": images})[0]
    return np.argmax(logits, axis=1)[every]


def test_a_killed_node_costs_its_own_shards_only(cluster: LiveCluster, tmp_path: Path) -> None:
    """They are run again elsewhere, alone; what had ended is not repeated, also where it ended on that node,
    no row is missing or twice, and all are in order."""
    labels = labels_of(tmp_path / "digits.npy")
    with cluster.extra_node() as (extra, added):
        run = {"kind": "inference", "model": MODEL, "input_uri": f"file://{tmp_path}/digits.npy"}
        run |= {"output": "jsonl", "batch_size": 16}
        (task_id,) = cluster.submit(
            {"title": "digits", "type": "testing", "run": run, "shards": {"count": SHARDS}}
        )

        def shards() -> list[dict[str, Any]]:
            return [cluster.ask(GetTask(f"{task_id}-s{index}")) for index in range(SHARDS)]

        ended: list[str] = []

        def in_the_middle() -> bool:
            now = shards()
            ended[:] = [shard["id"] for shard in now if shard["status"] == "completed"]
            there = [shard for shard in now if shard["assigned_worker"] == added]
            has_ended = any(shard["id"] in ended for shard in there)
            return has_ended and any(shard["status"] == "running" for shard in there)

        until(in_the_middle)
        cluster.ray_cluster.remove_node(extra, allow_graceful=False)
        assert cluster.outcomes([task_id], wait_s=90.0)[task_id]["status"] == "completed"
        result = cluster.ask(GetResult(task_id))["result"]
        assert (np.argmax(arrays_of(result)["logits"], axis=1) == labels).all()
        assert (result["rows"], result["precisions"]) == (ROWS, {"fp32": ROWS})
        after = {shard["id"]: shard for shard in shards()}
        outcomes = cluster.outcomes(list(after)).values()
        assert {outcome["result"]["stored"] for outcome in outcomes} == {"file"}
        assert sum(shard["losses"] for shard in after.values()) >= 1
        assert all((after[name]["attempt"], after[name]["losses"]) == (1, 0) for name in ended)
