"""Devices on a real raylet: Ray allocates them one by one, and the plan takes that into account."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from helix_ray.core.questions import ExplainTask, GetTask, ListWorkers
from tests.ray.conftest import LiveCluster, command
from tests.ray.signals import until


@contextlib.contextmanager
def node_with(cluster: LiveCluster, resource: str, **offer: Any) -> Iterator[None]:
    """Add a node that offers something, and take it away again: until it is lost,
    others would still ask it."""

    def is_there() -> bool:
        workers = cluster.ask(ListWorkers())["workers"]
        return any(w["resources"].get(resource) and w["status"] != "lost" for w in workers)

    node = cluster.ray_cluster.add_node(**offer, object_store_memory=100 << 20)
    try:
        until(is_there)
        yield
    finally:
        cluster.ray_cluster.remove_node(node, allow_graceful=False)
    until(lambda: not is_there())


@pytest.fixture
def gpus(cluster: LiveCluster) -> Iterator[None]:
    """Add a node with four logical GPUs, and take it away again."""
    with node_with(cluster, "gpu", num_cpus=2, num_gpus=4):
        yield


def test_shares_of_devices_make_no_whole_one(cluster: LiveCluster, gpus: None, tmp_path: Path) -> None:
    """With three of four GPUs shared, only one task that needs a whole GPU fits: the next one waits in the
    queue, and small tasks overtake it."""
    go = tmp_path / "go"

    def wants(gpu: float) -> dict[str, Any]:
        return command(f"until [ -e {go} ]; do sleep 0.05; done", resources={"cpu": 0, "gpu": gpu})

    def runs(task_id: str) -> bool:
        return bool(cluster.ask(GetTask(task_id))["status"] == "running")

    shared = cluster.submit(*[wants(0.6) for _ in range(3)])
    until(lambda: all(map(runs, shared)))
    first, second = cluster.submit(wants(1), wants(1))
    until(lambda: runs(first))
    until(lambda: bool(cluster.ask(ExplainTask(second))["history"]))
    change = [{"change": "reduce", "resource": "gpu", "to": 0.4, "by": 0.6}]
    until(lambda: bool(cluster.ask(ExplainTask(second))["change"] == change))
    (small,) = cluster.submit(command("echo passed", resources={"cpu": 0, "gpu": 0.4}))
    assert cluster.outcomes([small])[small]["result"]["output"] == "passed\n"
    ids = [*shared, first, second]
    # Nothing was placed where it had to wait and be given back.
    assert [cluster.ask(GetTask(task_id))["attempt"] for task_id in ids] == [1, 1, 1, 1, 0]
    go.touch()
    assert {outcome["status"] for outcome in cluster.outcomes(ids).values()} == {"completed"}
    assert {cluster.ask(GetTask(task_id))["attempt"] for task_id in ids} == {1}


def test_an_amount_that_only_ray_refuses_fails_with_its_reason(cluster: LiveCluster) -> None:
    """TPUs come in powers of two: that is Ray's own rule, and its refusal ends the task."""
    with node_with(cluster, "TPU", num_cpus=1, resources={"TPU": 4}):
        asked = command("true", resources={"cpu": 0, "custom": {"TPU": 3}}, max_retries=5)
        (task_id,) = cluster.submit(asked)
        outcome = cluster.outcomes([task_id])[task_id]
    assert (outcome["status"], outcome["error"]["reason"]) == ("failed", "bad_spec")
    assert "TPU" in outcome["error"]["message"]
