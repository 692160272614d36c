"""Tasks of every kind on a real cluster of three raylets."""

from __future__ import annotations

from tests.collector import attributes
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


def test_a_trace_reaches_the_attempt(cluster: LiveCluster) -> None:
    """The collector gets its span, and the command finds the same one in TRACEPARENT. Without one there are
    no spans."""
    trace, caller = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
    ids = cluster.submit(command("echo $TRACEPARENT", traceparent=f"00-{trace}-{caller}-01"), command("true"))
    output = cluster.outcomes(ids)[ids[0]]["result"]["output"].strip()
    (task,), (attempt,) = cluster.collector.wait(1, "task"), cluster.collector.wait(1, "attempt")
    assert output == f"00-{trace}-{attempt.span_id.hex()}-01"
    assert attempt.parent_span_id == task.span_id
    assert task.parent_span_id.hex() == caller
    assert attributes(attempt)["helix.task.id"] == ids[0]
    assert attributes(attempt)["helix.attempt.outcome"] == "completed"
