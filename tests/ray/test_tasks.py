"""Tasks of every kind on a real cluster of three raylets."""

from __future__ import annotations

from tests.ray.conftest import LiveCluster, command, function


def test_functions_run_on_nodes_and_give_their_values(cluster: LiveCluster) -> None:
    """Fifty functions are spread over the nodes, and each gives what it computes."""
    ids = cluster.submit(*[function("add", i, 1) for i in range(50)])
    outcomes = cluster.outcomes(ids)
    assert [outcomes[i]["result"]["value"] for i in ids] == [i + 1 for i in range(50)]


def test_a_command_gives_its_output(cluster: LiveCluster) -> None:
    """A shell line's output and exit code are its result."""
    (task_id,) = cluster.submit(command("echo hello"))
    result = cluster.outcomes([task_id])[task_id]["result"]
    assert result["output"] == "hello\n"
    assert result["exit_code"] == 0
