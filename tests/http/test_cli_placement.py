"""The `helix` program about the cluster, explanations, distributions, shards and
quotas, against a running API."""

from __future__ import annotations

from tests.http.running_node import NODE, Helix


def test_the_cluster_and_its_nodes(signed_in: Helix) -> None:
    """`helix cluster` alone is the status; a node is drained, and explanations and the status say so."""
    said = signed_in("cluster")
    assert said.code == 0, said.err
    assert said.out.startswith("helix-master active, up 0:")
    assert "2 of 2 nodes are active" in said.out
    assert signed_in("cluster", "--json").json["worker_nodes"][0]["id"] == NODE
    assert "cpu=4 memory_mb=4096" in signed_in("cluster", "nodes").out
    assert signed_in("cluster", "node", NODE, "--json").json["free"] == {"cpu": 4.0, "memory_mb": 4096.0}
    assert "node1" in signed_in("cluster", "node", NODE).out
    assert signed_in("cluster", "node", "worker-none").code == 4
    assert signed_in("cluster", "drain", NODE).code == 0
    assert "1 of 2 nodes are active" in signed_in("cluster").out
    waiting = signed_in("task", "submit", "--command", "true").out.strip()
    assert f"undrain {NODE}" in signed_in("task", "explain", waiting).out
    assert signed_in("cluster", "undrain", NODE).code == 0
    assert signed_in("task", "result", waiting, "--wait", "--wait-timeout", "60").code == 0


def test_accelerators_in_words(signed_in: Helix) -> None:
    """Where there are none, that and why; the JSON is the API's."""
    said = signed_in("acceleration")
    assert said.code == 0, said.err
    assert said.out.splitlines() == [
        "npu: not available (no node has a driver of one)",
        "gpu: not available (no node has a driver of one)",
        "quantization disabled (no model is published: models run as they were uploaded)",
        "pruning disabled (no variant is pruned)",
        "precision FP32 (no model is published: models run as they were uploaded)",
    ]
    assert signed_in("acceleration", "--node", NODE, "--json").json["node"] == NODE
    assert signed_in("acceleration", "--node", "worker-none").code == 4


def test_an_explanation_in_words(signed_in: Helix) -> None:
    """The verdict, the failing dimension with asked, has and deficit, and the smallest change."""
    task_id = signed_in("task", "submit", "--command", "true", "--label", "zone=b").out.strip()
    said = signed_in("task", "explain", task_id)
    assert said.code == 0, said.err
    assert f"{task_id} pending: none of 1 nodes can ever run it" in said.out
    row = next(line for line in said.out.splitlines() if line.startswith(NODE))
    assert row.split() == [NODE, "never", "labels.zone", "b", "never"]
    assert f"do not request the label zone=b, which makes it fit on {NODE}" in said.out
    found = signed_in("task", "explain", task_id, "--json").json
    assert (found["verdict"], found["change"][0]["change"]) == ("never", "drop_label")
    assert signed_in("task", "explain", "task-none").code == 4


def test_distribute_by_hand(signed_in: Helix) -> None:
    """A manual task waits; a dry run names its node; distributing starts it; a second time is a conflict."""
    task_id = signed_in("task", "submit", "--command", "echo placed", "--strategy", "manual").out.strip()
    assert "it is waiting to be distributed manually" in signed_in("task", "explain", task_id).out
    dry = signed_in("task", "distribute", task_id, "--dry-run")
    assert (dry.code, dry.out.split()[:4]) == (0, ["would", "start", "on", NODE])
    done = signed_in("task", "distribute", task_id, "--strategy", "round_robin", "--json")
    assert (done.code, done.json["assigned_nodes"]) == (0, [NODE])
    ended = signed_in("task", "result", task_id, "--wait", "--wait-timeout", "60")
    assert (ended.code, ended.out) == (0, "placed\n")
    assert signed_in("task", "distribute", task_id).code == 5


def test_distribute_says_what_is_in_the_way(signed_in: Helix) -> None:
    """Nothing fits: exit code 1, nothing on standard output, the reasons on standard error."""
    task_id = signed_in("task", "submit", "--command", "true", "--label", "zone=b").out.strip()
    said = signed_in("task", "distribute", task_id)
    assert (said.code, said.out) == (1, "")
    assert f"helix: {task_id} does not fit on any node now: none of 1 nodes can ever run it" in said.err
    assert "labels.zone: 1 node can never fit it" in said.err
    assert "smallest change: do not request the label zone=b" in said.err
    assert signed_in("task", "distribute", task_id, "--json").json["distributed"] is False
    said = signed_in("task", "distribute", task_id, "--capability", "flying")
    assert said.code == 1
    assert "no node has the capability flying" in said.err


def test_shards_know_which_they_are(signed_in: Helix) -> None:
    """Each shard has its index and count in its environment, and the results come in order."""
    shown = "echo $HELIX_SHARD_INDEX of $HELIX_SHARD_COUNT"
    done = signed_in("task", "submit", "--command", shown, "--shards", "3", "--gang", "--wait", "--json")
    assert done.code == 0, done.err
    parts = done.json["result"]["shards"]
    assert [part["output"] for part in parts] == ["0 of 3\n", "1 of 3\n", "2 of 3\n"]
    task = signed_in("task", "get", done.json["id"], "--json").json
    assert task["shards"] == {"count": 3, "gang": True, "completed": 3}


def test_options_of_placement_reach_the_task(signed_in: Helix) -> None:
    """--strategy and --not-preemptible are fields of the task."""
    task_id = signed_in("task", "submit", "--command", "true", "--strategy", "pack", "--not-preemptible").out
    task = signed_in("task", "get", task_id.strip(), "--json").json
    assert (task["strategy"], task["preemptible"]) == ("pack", False)


def test_quotas(signed_in: Helix) -> None:
    """Limits are set, shown, and refuse what could never run within them."""
    assert signed_in("quota", "set", "small", "cpu=2", "tasks=0", "--weight", "2").code == 0
    shown = signed_in("quota", "list").out
    assert next(line for line in shown.splitlines() if line.startswith("small")).split() == [
        "small", "cpu=2", "tasks=0", "0", "0", "%", "2",
    ]  # fmt: skip
    quotas = {quota["project_id"]: quota for quota in signed_in("quota", "list", "--json").json["quotas"]}
    assert quotas["small"]["limits"] == {"cpu": 2.0, "tasks": 0.0}
    refused = signed_in("task", "submit", "--command", "true", "--project", "small")
    assert refused.code == 2
    assert "The task asks for more than its project's quota allows" in refused.err
    assert signed_in("quota", "set", "small", "cpu=-1").code == 2
    assert signed_in("quota", "set", "small", "--weight", "0").code == 2
