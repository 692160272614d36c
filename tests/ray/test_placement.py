"""Placement on real raylets: shards, gangs, distribution, preemption, a shard whose node dies."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from helix_ray.core.access import SYSTEM
from helix_ray.core.orders import CancelTask, DistributeTask, DrainWorker, Receipt
from helix_ray.core.questions import ClusterStatus, ExplainTask, GetTask, ListNodes, PlanTask
from tests.processes import shell_of
from tests.ray.conftest import CPUS, LiveCluster, command, function
from tests.ray.signals import until


def worker_of(cluster: LiveCluster, task_id: str) -> str | None:
    """Return the node that a task is or was on."""
    found: str | None = cluster.ask(GetTask(task_id))["assigned_worker"]
    return found


def status_of(cluster: LiveCluster, task_id: str) -> str:
    """Return a task's status."""
    return str(cluster.ask(GetTask(task_id))["status"])


def test_a_distribution_puts_shards_on_several_nodes_and_gathers_them(cluster: LiveCluster) -> None:
    """One on each of three, by `spread`; the results are in the order of the shards."""
    until(cluster.idle)
    line = "echo $HELIX_SHARD_INDEX/$HELIX_SHARD_COUNT"
    (whole,) = cluster.submit(command(line, shards={"count": 3}, strategy="manual"))
    plan = cluster.ask(PlanTask(whole, "spread"))
    pairs = tuple((task_id, node_id) for task_id, node_id in plan["pairs"])
    answer = cluster.execute(DistributeTask(whole, pairs, "spread"))
    assert isinstance(answer, Receipt)
    assert len(answer.data["assigned_nodes"]) == 3
    result = cluster.outcomes([whole])[whole]["result"]
    assert [part["output"] for part in result["shards"]] == ["0/3\n", "1/3\n", "2/3\n"]
    assert len({worker_of(cluster, f"{whole}-s{i}") for i in range(3)}) == 3


def test_a_gang_waits_until_all_of_it_fits(cluster: LiveCluster) -> None:
    """It says how many would, and starts whole when a node is added."""
    until(cluster.idle)
    (gang,) = cluster.submit(function("add", 1, 2, shards={"count": CPUS + 1, "gang": True}))
    until(lambda: bool(cluster.ask(ExplainTask(gang))["history"]))
    change = [{"change": "fewer_shards", "to": CPUS, "by": 1}]
    until(lambda: bool(cluster.ask(ExplainTask(gang))["change"] == change))
    assert status_of(cluster, gang) == "pending"
    with cluster.extra_node():
        parts = cluster.outcomes([gang])[gang]["result"]["shards"]
        assert [part["value"] for part in parts] == [3] * (CPUS + 1)
    until(cluster.idle)


def test_urgent_work_stops_what_runs_and_what_stopped_runs_again(
    cluster: LiveCluster, tmp_path: Path
) -> None:
    """The process of the preempted attempt is gone before the urgent one runs in its place."""
    until(cluster.idle)
    marks = [tmp_path / f"mark{i}" for i in range(CPUS)]
    go = tmp_path / "go"
    lines = [f"echo >>{mark}; until [ -e {go} ]; do sleep 0.05; done; echo done" for mark in marks]
    ids = cluster.submit(*[command(line, priority="low") for line in lines])
    until(lambda: all(mark.exists() for mark in marks))
    before = [shell_of(line) for line in lines]
    (urgent,) = cluster.submit(command("echo urgent", priority="critical"))
    assert cluster.outcomes([urgent])[urgent]["result"]["output"] == "urgent\n"
    views = [cluster.ask(GetTask(task_id)) for task_id in ids]
    (victim,) = [i for i, view in enumerate(views) if view["preemptions"]]
    assert (views[victim]["failures"], views[victim]["losses"]) == (0, 0)
    until(lambda: not Path(f"/proc/{before[victim]}").exists())
    go.touch()
    outcomes = cluster.outcomes(ids)
    assert {outcome["result"]["output"] for outcome in outcomes.values()} == {"done\n"}
    views = [cluster.ask(GetTask(i)) for i in ids]
    # Any of them may wait in a slot behind another one first: it is given back before it has begun (ADR 19),
    # which is another attempt, and no other process.
    assert [i for i, mark in enumerate(marks) if len(mark.read_text().splitlines()) > 1] == [victim], views
    assert [view["preemptions"] for view in views].count(1) == 1, views


def test_a_shard_whose_node_dies_is_placed_again_alone(cluster: LiveCluster, tmp_path: Path) -> None:
    """The others keep their first attempt."""
    until(cluster.idle)
    with cluster.extra_node() as (extra, added):
        go = tmp_path / "go"
        wait = f"until [ -e {go} ]; do sleep 0.05; done"
        line = f"touch {tmp_path}/$HELIX_SHARD_INDEX; {wait}; echo $HELIX_ATTEMPT"
        (whole,) = cluster.submit(command(line, shards={"count": 4}, strategy="manual"))
        plan = cluster.ask(PlanTask(whole, "spread"))
        pairs = tuple((task_id, node_id) for task_id, node_id in plan["pairs"])
        on_added = [task_id for task_id, node_id in pairs if node_id == added]
        assert len(on_added) == 1
        assert isinstance(cluster.execute(DistributeTask(whole, pairs, "spread")), Receipt)
        until(lambda: all((tmp_path / str(i)).exists() for i in range(4)))
        cluster.ray_cluster.remove_node(extra, allow_graceful=False)
        # Its executor may be missed before its node is: then the second attempt is on the dying node, too.
        until(lambda: worker_of(cluster, on_added[0]) not in (None, added))
        go.touch()
        parts = cluster.outcomes([whole])[whole]["result"]["shards"]
        again = {f"{whole}-s{i}" for i, part in enumerate(parts) if part["output"].strip() != "1"}
        assert again == set(on_added)


def test_draining_keeps_work_away_and_undraining_brings_it_back(cluster: LiveCluster) -> None:
    """The status says so within moments, and a task that only fits there waits."""
    until(cluster.idle)
    node = next(n for n in cluster.ask(ClusterStatus())["worker_nodes"] if n["status"] == "active")["id"]
    label = next(n for n in cluster.ask(ListNodes())["nodes"] if n["id"] == node)["labels"]["ray.io/node-id"]
    cluster.execute(DrainWorker(node))
    (task_id,) = cluster.submit(function("noop", labels={"ray.io/node-id": label}))
    until(lambda: bool(cluster.ask(ExplainTask(task_id))["history"]))
    view: dict[str, Any] = cluster.ask(ExplainTask(task_id), SYSTEM)
    assert {"change": "undrain", "node": node} in view["change"] or view["change"][0][
        "change"
    ] == "drop_label"
    assert {n["id"]: n["status"] for n in cluster.ask(ClusterStatus())["worker_nodes"]}[node] == "draining"
    cluster.execute(DrainWorker(node, draining=False))
    assert cluster.outcomes([task_id])[task_id]["status"] == "completed"
    assert worker_of(cluster, task_id) == node
    cluster.execute(CancelTask(task_id))
