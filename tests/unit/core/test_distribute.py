"""Distribution: a plan is a question, carrying it out an order that is checked again."""

from __future__ import annotations

import pytest

from helix_ray.core import orders as o
from helix_ray.core import questions as q
from helix_ray.core.access import SYSTEM
from helix_ray.core.errors import ErrorCode
from tests.unit.core.scheduled_stage import ScheduledStage
from tests.unit.core.stage import (
    ADMIN,
    BOT,
    COMMAND,
    EXTERNAL,
    NODE,
    NODE_2,
    OTHER,
    spec,
)


def test_a_task_is_started_where_the_plan_says() -> None:
    """And asks from then on for what the distribution asked for."""
    stage = ScheduledStage()
    stage.add_node()
    stage.give(
        o.RegisterWorker(
            "h", ("gpu",), {"cpu": 2.0, "gpu": 1.0}, worker_id=NODE_2, kind="node", node_id="n2", boot="b"
        ),
        SYSTEM,
    )
    (task_id,) = stage.submit(spec(run=COMMAND))
    data = stage.distribute(task_id, strategy="pack", capabilities=("gpu",))
    assert data["assigned_nodes"] == [NODE_2]
    task = stage.task(task_id)
    assert (task.status, task.worker, task.spec["strategy"]) == ("running", NODE_2, "pack")
    assert task.task_class.capabilities == ("gpu",)
    assert stage.sound()


def test_round_robin_goes_round() -> None:
    """From one distribution to the next, though no scheduler remembers."""
    stage = ScheduledStage()
    names = ["worker-a", "worker-b", "worker-c"]
    for name in names:
        stage.add_node(name)
    went = []
    for _ in range(6):
        (task_id,) = stage.submit(spec(run=COMMAND))
        went += stage.distribute(task_id, strategy="round_robin")["assigned_nodes"]
    assert sorted(went[:3]) == names
    assert went[3:] == went[:3]


def test_shards_go_over_several_nodes_and_what_is_left_waits() -> None:
    """At most `max_nodes`; the estimate counts the waves that follow."""
    stage = ScheduledStage()
    for name in ("worker-a", "worker-b", "worker-c"):
        stage.add_node(name, resources={"cpu": 2.0})
    whole, *shards = stage.submit(spec(run=COMMAND, shards={"count": 5}, strategy="manual"))
    plan = stage.ask(q.PlanTask(whole, "spread", (), 2))
    assert len(plan["pairs"]) == 4
    assert len({node for _, node in plan["pairs"]}) == 2
    assert (plan["shards_waiting"], plan["estimated_completion"], plan["estimate_missing"]) == (
        1, None, "no task of this kind has finished yet",
    )  # fmt: skip
    data = stage.distribute(whole, strategy="spread", max_nodes=2)
    assert len(data["assigned_nodes"]) == 2
    assert [stage.task(i).status for i in shards].count("running") == 4
    assert stage.task(whole).status == "running"
    assert {stage.task(i).spec["strategy"] for i in (whole, *shards)} == {"spread"}


def test_a_gang_is_distributed_whole_or_not_at_all() -> None:
    """The answer says how many would fit."""
    stage = ScheduledStage()
    stage.add_node(resources={"cpu": 2.0})
    whole, *shards = stage.submit(spec(run=COMMAND, shards={"count": 3, "gang": True}, strategy="manual"))
    plan = stage.distribute(whole)
    assert plan["change"] == [{"change": "fewer_shards", "to": 2, "by": 1}]
    assert plan["summary"] == "only 2 of 3 shards fit now"
    pairs = tuple((i, NODE) for i in shards[:2])
    assert stage.refuse(o.DistributeTask(whole, pairs)).details["stale"]
    stage.add_node(NODE_2)
    assert stage.distribute(whole)["assigned_nodes"]
    assert {stage.task(i).status for i in shards} == {"running"}


def test_what_waits_to_be_distributed_is_left_alone() -> None:
    """Until somebody does; an attempt that is lost then is placed as any other."""
    stage = ScheduledStage()
    stage.add_node()
    (task_id,) = stage.submit(spec(run=COMMAND, strategy="manual"))
    stage.schedule()
    assert stage.task(task_id).status == "pending"
    assert stage.ask(q.ExplainTask(task_id))["verdict"] == "manual"
    stage.distribute(task_id)
    assert (stage.task(task_id).status, stage.task(task_id).spec["strategy"]) == (
        "running",
        "capability_based",
    )
    stage.end(task_id, "lost")
    stage.schedule()
    assert stage.task(task_id).attempt == 2


def test_a_task_without_a_run_goes_to_an_external_worker() -> None:
    """One that can do its type, is there and has nothing to do; its next heartbeat hands the task over."""
    stage = ScheduledStage()
    (task_id,) = stage.submit(spec(required_capabilities=["gpu"]))
    assert stage.distribute(task_id)["summary"] == "no registered worker can run this task"
    assert stage.ask(q.ExplainTask(task_id))["verdict"] == "no_nodes"
    stage.add_external("worker_cannot", can=("testing",))
    stage.add_external(can=("building", "gpu"))
    stage.add_node()
    assert stage.distribute(task_id)["assigned_nodes"] == [EXTERNAL]
    beat = stage.give(o.Heartbeat(EXTERNAL, "idle"), BOT)
    assert (beat["assigned_task"], beat["attempt"]) == (task_id, 1)
    (second,) = stage.submit(spec(required_capabilities=["gpu"]))
    view = stage.ask(q.ExplainTask(second))
    failing = {each["node"]: [m["dimension"] for m in each["failing"]] for each in view["nodes"]}
    assert failing[EXTERNAL] == ["node"]
    assert failing["worker_cannot"] == ["capabilities.gpu", "capabilities.building"]
    assert stage.refuse(o.DistributeTask(second, ((second, EXTERNAL),))).details["stale"]
    assert stage.refuse(o.DistributeTask(second, ((second, NODE),))).details["stale"]


def test_a_strategy_that_does_not_exist_is_named() -> None:
    """The refusal lists the strategies; a capability that no node has is not refused, it is an unmet
    constraint."""
    stage = ScheduledStage()
    stage.give(
        o.RegisterWorker("h", ("gpu",), {"cpu": 2.0}, worker_id=NODE, kind="node", node_id="n", boot="b"),
        SYSTEM,
    )
    (task_id,) = stage.submit(spec(run=COMMAND))
    refusal = stage.ask(q.PlanTask(task_id, strategy="guess"))
    assert refusal.code is ErrorCode.VALIDATION_ERROR
    assert refusal.details["allowed_values"]
    assert stage.refuse(o.DistributeTask(task_id, ((task_id, NODE),), "guess")).code is refusal.code
    assert stage.ask(q.PlanTask(task_id, capabilities=("telepathy",)))["pairs"] == []


def test_only_what_waits_is_distributed() -> None:
    """Only by users who may change the task; shards only through their parent, and only tasks of the plan."""
    stage = ScheduledStage()
    stage.add_node()
    done = stage.run_to("completed")
    for question in (q.PlanTask(done),):
        assert stage.ask(question).details["status"] == "completed"
    assert stage.refuse(o.DistributeTask(done, ((done, NODE),))).code is ErrorCode.CONFLICT
    (task_id,) = stage.submit(spec(run=COMMAND))
    assert stage.ask(q.PlanTask(task_id), OTHER).code is ErrorCode.NOT_FOUND
    assert stage.refuse(o.DistributeTask(task_id, ((task_id, NODE),)), OTHER).code is ErrorCode.NOT_FOUND
    assert stage.refuse(o.DistributeTask(task_id, ())).details["stale"]
    assert stage.refuse(o.DistributeTask(task_id, (("task-x", NODE),))).details["stale"]
    assert stage.refuse(o.DistributeTask(task_id, ((task_id, NODE), (task_id, NODE)))).details["stale"]
    assert stage.refuse(o.DistributeTask(task_id, ((task_id, "worker-x"),))).details["stale"]
    _, shard, _ = stage.submit(spec(run=COMMAND, shards={"count": 2}))
    assert stage.ask(q.PlanTask(shard)).code is ErrorCode.CONFLICT
    (big,) = stage.submit(spec(run=COMMAND, resources={"cpu": 4}))
    stage.start(task_id)
    assert stage.refuse(o.DistributeTask(big, ((big, NODE),))).details["stale"]


def test_estimates_come_from_what_was_measured() -> None:
    """The middle and the ninth decile of the newest runs of the same kind."""
    stage = ScheduledStage()
    stage.add_node()
    for seconds in (2.0, 4.0, 30.0):
        (task_id,) = stage.submit(spec(run=COMMAND))
        stage.start(task_id)
        stage.end(task_id, duration_s=seconds)
    (task_id,) = stage.submit(spec(run=COMMAND))
    plan = stage.ask(q.PlanTask(task_id))
    assert plan["estimated_completion"] == stage.now + 4
    assert plan["estimated_completion_p90"] == stage.now + 30
    assert plan["estimate_basis"] == "based on 3 measured runs of this kind"
    (other,) = stage.submit(spec(run={"kind": "command", "argv": ["x"]}, resources={"cpu": 2}))
    assert stage.ask(q.PlanTask(other))["estimated_completion"] is None


def test_short_work_is_distributed_into_lanes_that_are_begun() -> None:
    """It waits for the tasks that are in its slot already."""
    stage = ScheduledStage()
    stage.add_node(resources={"cpu": 1.0})
    run = {"kind": "function", "function": "helix_ray.samples:noop"}
    (task_id,) = stage.submit(spec(run=run))
    stage.start(task_id)
    stage.end(task_id, duration_s=0.005)
    first, second = stage.submit(spec(run=run), spec(run=run))
    assert stage.distribute(first)["assigned_nodes"] == [NODE]
    assert stage.ask(q.PlanTask(second))["estimated_completion"] == pytest.approx(stage.now + 0.010)
    assert stage.distribute(second)["assigned_nodes"] == [NODE]


def test_a_quota_is_looked_at_again_when_a_plan_is_carried_out() -> None:
    """Of two distributions that were planned side by side only one fits."""
    stage = ScheduledStage()
    stage.add_node(resources={"cpu": 4.0})
    stage.give(o.SetQuota("p", {"tasks": 1.0}), ADMIN)
    first, second = stage.submit(*[spec(run=COMMAND, project_id="p", strategy="manual")] * 2)
    plans = [stage.ask(q.PlanTask(task_id)) for task_id in (first, second)]
    stage.give(o.DistributeTask(first, tuple(plans[0]["pairs"])))
    refusal = stage.refuse(o.DistributeTask(second, tuple(plans[1]["pairs"])))
    assert refusal.details == {"project_id": "p", "stale": True}
