"""Nodes and explanations as questions see them."""

from __future__ import annotations

import pytest

from helix_ray.core import orders as o
from helix_ray.core import questions as q
from helix_ray.core.access import SYSTEM
from helix_ray.core.errors import ErrorCode
from helix_ray.core.placement.fit import FLAPS_MIN, QUARANTINE_S, quarantined_until
from tests.unit.core.scheduled_stage import ScheduledStage
from tests.unit.core.stage import (
    ADMIN,
    BOT,
    COMMAND,
    NODE,
    NODE_2,
    OTHER,
    VIEWER,
    spec,
)


def test_the_status_counts_the_master_and_every_node() -> None:
    """Load is measured, and nothing is said of a node that was not heard of; what a node
    completed stays its own."""
    stage = ScheduledStage()
    stage.add_node()
    stage.add_node(NODE_2)
    task_id = stage.run_to("completed")
    stage.pulse(cpu_usage=65.0)
    stage.give(o.DrainWorker(NODE_2), ADMIN)
    view = stage.ask(q.ClusterStatus(), VIEWER)
    assert view["master_node"]["uptime"] == 60
    assert (view["total_nodes"], view["active_nodes"], view["master_node"]["epoch"]) == (3, 2, 3)
    assert view["worker_nodes"] == [
        {"id": NODE, "status": "active", "tasks_completed": 1, "current_load": 0.65},
        {"id": NODE_2, "status": "draining", "tasks_completed": 0, "current_load": None},
    ]
    assert stage.task(task_id).worker == NODE
    stage.give(o.LoseWorker(NODE, "gone"), SYSTEM)
    assert stage.ask(q.ClusterStatus())["worker_nodes"][0] == {
        "id": NODE, "status": "lost", "tasks_completed": 1, "current_load": None,
    }  # fmt: skip
    assert stage.ask(q.GetNode("worker-x")).code is ErrorCode.NOT_FOUND
    assert stage.ask(q.ClusterStatus(), BOT).code is ErrorCode.FORBIDDEN


def test_a_node_tells_who_uses_what() -> None:
    """Ours, others on the cluster, and what is free; logical resources are named."""
    stage = ScheduledStage()
    labels = {"helix-simulated": "GPU"}
    stage.add_node(resources={"cpu": 4.0, "gpu": 2.0}, labels=labels)
    stage.pulse(cpu_usage=20.0, foreign={"cpu": 1.5, "odd": "x"})
    (task_id,) = stage.submit(spec(run=COMMAND, resources={"cpu": 2, "gpu": 0.5}))
    stage.schedule()
    (view,) = stage.ask(q.ListNodes())["nodes"]
    assert (view["allocated"], view["foreign"]) == ({"cpu": 2.0, "gpu": 0.5}, {"cpu": 1.5})
    assert (view["free"], view["simulated"], view["running"]) == (
        {"cpu": 0.5, "gpu": 1.5},
        ["gpu"],
        [task_id],
    )
    assert "foreign" not in view["usage"]
    assert stage.ask(q.GetNode(NODE)) == view


def test_what_others_use_is_not_given_away() -> None:
    """Until they give it back."""
    stage = ScheduledStage()
    stage.add_node(resources={"cpu": 2.0})
    stage.pulse(foreign={"cpu": 2.0})
    (task_id,) = stage.submit(spec(run=COMMAND))
    stage.schedule()
    assert stage.task(task_id).status == "pending"
    stage.pulse(foreign={})
    stage.schedule()
    assert stage.task(task_id).status == "running"


def test_a_node_that_keeps_going_away_rests() -> None:
    """The third time within ten minutes; then it is used again."""
    stage = ScheduledStage()
    for _ in range(FLAPS_MIN):
        stage.add_node()
        stage.schedule()
        stage.give(o.LoseWorker(NODE, "gone"), SYSTEM)
    stage.give(o.Heartbeat(NODE, boot="boot-1"), SYSTEM)
    (task_id,) = stage.submit(spec(run=COMMAND))
    stage.schedule()
    assert stage.task(task_id).status == "pending"
    assert stage.ask(q.GetNode(NODE))["status"] == "resting"
    assert stage.ask(q.ExplainTask(task_id))["nodes"][0]["failing"][0]["has"] == "resting"
    before = stage.now
    # Not for longer because the clock is set back, either.
    stage.now -= 86_400.0
    assert stage.ask(q.GetNode(NODE))["status"] == "active"
    stage.now = before + QUARANTINE_S + 1
    stage.schedule()
    assert stage.task(task_id).status == "running"
    worker = stage.state.workers[NODE]
    worker.lost_at = [0.0, 10.0, 5000.0]
    assert quarantined_until(worker) == 0.0


def behind_one_of_40_s() -> ScheduledStage:
    """One NPU, where a command runs of a kind that takes 40 s."""
    stage = ScheduledStage()
    stage.add_node(resources={"cpu": 2.0, "npu": 1.0})
    (quick,) = stage.submit(spec(run=COMMAND, resources={"npu": 1}))
    stage.start(quick)
    stage.end(quick, duration_s=40.0)
    (running,) = stage.submit(spec(run=COMMAND, resources={"npu": 1}))
    stage.start(running)
    return stage


def test_an_explanation_says_what_would_help_and_when() -> None:
    """The dimension and the deficit of each node, the soonest room, and where the
    task stands in the queue."""
    stage = behind_one_of_40_s()
    stage.now += 10
    before, task_id = stage.submit(*[spec(run=COMMAND, resources={"npu": 1})] * 2)
    view = stage.ask(q.ExplainTask(task_id))
    assert (view["verdict"], view["queued_ahead"]) == ("waiting", 1)
    (failing,) = view["nodes"][0]["failing"]
    assert failing == {
        "dimension": "resources.npu", "asked": 1.0, "has": 0.0, "deficit": 1.0, "kind": "waiting",
    }  # fmt: skip
    assert view["expected_free"] == {
        "node": NODE, "in_s": 30.0, "missing": {"npu": 1.0}, "overrun_s": 0.0,
    }  # fmt: skip
    assert view["change"] == [{"change": "reduce", "resource": "npu", "to": 0.0, "by": 1.0}]
    assert stage.ask(q.ExplainTask(before))["estimated_start"] == stage.now + 30
    assert before


@pytest.mark.parametrize(
    ("ran_s", "in_s", "overrun_s"),
    [(0.0, 40.0, 0.0), (39.5, 0.5, 0.0), (40.0, 0.0, 0.0), (41.0, None, 1.0), (4000.0, None, 3960.0)],
)
def test_an_estimate_that_has_failed_says_so(ran_s: float, in_s: float | None, overrun_s: float) -> None:
    """What runs for longer than its kind takes gives no time for room or for a start."""
    stage = behind_one_of_40_s()
    stage.now += ran_s
    (task_id,) = stage.submit(spec(run=COMMAND, resources={"npu": 1}))
    view = stage.ask(q.ExplainTask(task_id))
    wanted = {"node": NODE, "in_s": in_s, "missing": {"npu": 1.0}, "overrun_s": overrun_s}
    assert view["expected_free"] == wanted
    assert view["estimated_start"] == (None if in_s is None else stage.now + in_s)


@pytest.mark.parametrize(
    ("status", "verdict"),
    [("waiting", "dependencies"), ("running", "running"), ("completed", "completed"), ("failed", "failed")],
)
def test_what_does_not_wait_for_a_node_says_so(status: str, verdict: str) -> None:
    """With what it waits for, if it waits."""
    stage = ScheduledStage()
    view = stage.ask(q.ExplainTask(stage.run_to(status)))
    assert (view["verdict"], view["nodes"]) == (verdict, [])


def test_a_delayed_task_says_until_when() -> None:
    """Its retry delay is not over."""
    stage = ScheduledStage()
    task_id = stage.run_to("running", max_retries=1)
    stage.end(task_id, "failed")
    view = stage.ask(q.ExplainTask(task_id))
    assert (view["verdict"], view["not_before"]) == ("delayed", stage.task(task_id).not_before)


def test_a_gang_is_explained_as_a_whole() -> None:
    """By the whole's id and by a shard's."""
    stage = ScheduledStage()
    stage.add_node(resources={"cpu": 2.0})
    whole, first, *_ = stage.submit(spec(run=COMMAND, shards={"count": 3, "gang": True}))
    stage.schedule()
    for task_id in (whole, first):
        view = stage.ask(q.ExplainTask(task_id))
        assert view["change"] == [{"change": "fewer_shards", "to": 2, "by": 1}]
        assert view["verdict"] == "waiting"


def test_nodes_that_are_not_there_explain_nothing() -> None:
    """Nor do tasks that one may not see."""
    stage = ScheduledStage()
    (task_id,) = stage.submit(spec(run=COMMAND))
    assert stage.ask(q.ExplainTask(task_id))["summary"] == "the cluster has no nodes"
    assert stage.ask(q.ExplainTask(task_id), OTHER).code is ErrorCode.NOT_FOUND


def test_a_deficit_is_what_is_asked_for_less_what_there_is() -> None:
    """Of what is free where waiting helps, of all that the node has where it does not."""
    stage = ScheduledStage()
    stage.add_node(resources={"cpu": 4.0, "gpu": 1.0})
    stage.add_node(NODE_2, resources={"cpu": 1.0, "gpu": 2.0})
    (running,) = stage.submit(spec(run=COMMAND, resources={"cpu": 3, "gpu": 1}))
    stage.start(running)
    (task_id,) = stage.submit(spec(run=COMMAND, resources={"cpu": 1, "gpu": 2}, labels={"zone": "a"}))
    failing = {
        (each["node"], m["dimension"]): (m["has"], m["deficit"], m["kind"])
        for each in stage.ask(q.ExplainTask(task_id))["nodes"]
        for m in each["failing"]
    }
    assert failing == {
        (NODE, "labels.zone"): (None, None, "never"),
        (NODE, "resources.gpu"): (1.0, 1.0, "never"),
        (NODE_2, "labels.zone"): (None, None, "never"),
    }
