"""Distribution, quotas, preemption and back-pressure as orders; nodes and explanations as questions."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from helix_ray.core import orders as o
from helix_ray.core import questions as q
from helix_ray.core.access import SYSTEM, Principal
from helix_ray.core.backpressure import RETRY_AFTER_S_MAX, RETRY_AFTER_S_MIN, retry_after_s
from helix_ray.core.cluster import Cluster
from helix_ray.core.errors import ErrorCode, Rejected
from helix_ray.core.harmony import answer_harmony
from helix_ray.core.liveness import Liveness, Pulse
from helix_ray.core.placement.fit import FLAPS_MIN, REST_S, rests_until
from helix_ray.core.policy import Policy
from helix_ray.followers.base import News
from helix_ray.followers.scheduler import Scheduler
from tests.unit.core.stage import (
    ADMIN,
    BOT,
    COMMAND,
    DEV,
    EXTERNAL,
    NODE,
    NODE_2,
    OTHER,
    VIEWER,
    Stage,
    spec,
)


class Harmony(Stage):
    """A stage with pulses and a scheduler."""

    def __init__(self, policy: Policy | None = None) -> None:
        super().__init__(policy)
        self.liveness = Liveness()
        self.scheduler = Scheduler(self.policy)

    def ask(self, question: q.Question, by: Principal = DEV) -> Any:
        """Answer a question about the cluster; it must be JSON."""
        view = answer_harmony(
            Cluster(self.state, self.liveness, self.policy, self.now, 3, self.now - 60), question, by
        )
        assert isinstance(view, Rejected) or orjson.dumps(view)
        return view

    def schedule(self) -> None:
        """Place what fits."""
        for body in self.scheduler.react(News(self.state, self.liveness, (), self.now, self.now)):
            self.give(body, SYSTEM)

    def pulse(self, worker_id: str = NODE, **usage: Any) -> None:
        """Hear of a worker."""
        self.liveness.begin(worker_id, Pulse(self.now, self.now, usage=usage))

    def distribute(self, task_id: str, by: Principal = DEV, **asked: Any) -> Any:
        """Plan and carry out; return the receipt's data, or the plan when it has no pairs."""
        plan = self.ask(q.PlanTask(task_id, **asked), by)
        if isinstance(plan, Rejected) or not plan["pairs"]:
            return plan
        body = o.DistributeTask(
            task_id, tuple(plan["pairs"]), asked.get("strategy"), tuple(asked.get("capabilities", ()))
        )
        return self.give(body, by)


# ---------------------------------------------------------------------------------------------- distribute


def test_a_task_is_started_where_the_plan_says() -> None:
    """And asks from then on for what the distribution asked for."""
    stage = Harmony()
    stage.add_node()
    stage.give(o.RegisterWorker("h", ("gpu",), {"cpu": 2.0, "gpu": 1.0}, NODE_2, "node", "n2", "b"), SYSTEM)
    (task_id,) = stage.submit(spec(run=COMMAND))
    data = stage.distribute(task_id, strategy="pack", capabilities=("gpu",))
    assert data["assigned_nodes"] == [NODE_2]
    task = stage.task(task_id)
    assert (task.status, task.worker, task.spec["strategy"]) == ("running", NODE_2, "pack")
    assert task.group.capabilities == ("gpu",)
    assert stage.sound()


def test_round_robin_goes_round() -> None:
    """From one distribution to the next, though no scheduler remembers."""
    stage = Harmony()
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
    stage = Harmony()
    for name in ("worker-a", "worker-b", "worker-c"):
        stage.add_node(name, resources={"cpu": 2.0})
    whole, *shards = stage.submit(spec(run=COMMAND, shards={"count": 5}, strategy="manual"))
    plan = stage.ask(q.PlanTask(whole, "spread", (), 2))
    assert len(plan["pairs"]) == 4
    assert len({node for _, node in plan["pairs"]}) == 2
    assert (plan["shards_waiting"], plan["estimated_completion"], plan["estimate_missing"]) == (
        1, None, "no task of this kind has ended yet",
    )  # fmt: skip
    data = stage.distribute(whole, strategy="spread", max_nodes=2)
    assert len(data["assigned_nodes"]) == 2
    assert [stage.task(i).status for i in shards].count("running") == 4
    assert stage.task(whole).status == "running"
    assert {stage.task(i).spec["strategy"] for i in (whole, *shards)} == {"spread"}


def test_a_gang_is_distributed_whole_or_not_at_all() -> None:
    """The answer says how many would fit."""
    stage = Harmony()
    stage.add_node(resources={"cpu": 2.0})
    whole, *shards = stage.submit(spec(run=COMMAND, shards={"count": 3, "gang": True}, strategy="manual"))
    plan = stage.distribute(whole)
    assert plan["change"] == [{"change": "fewer_shards", "to": 2, "by": 1}]
    assert plan["summary"] == "only 2 of 3 shards have room now"
    pairs = tuple((i, NODE) for i in shards[:2])
    assert stage.refuse(o.DistributeTask(whole, pairs)).details["stale"]
    stage.add_node(NODE_2)
    assert stage.distribute(whole)["assigned_nodes"]
    assert {stage.task(i).status for i in shards} == {"running"}


def test_what_waits_to_be_distributed_is_left_alone() -> None:
    """Until somebody does; an attempt that is lost then is placed as any other."""
    stage = Harmony()
    stage.add_node()
    (task_id,) = stage.submit(spec(run=COMMAND, strategy="manual"))
    stage.schedule()
    assert stage.task(task_id).status == "pending"
    assert stage.ask(q.ExplainTask(task_id))["verdict"] == "manual"
    stage.distribute(task_id)
    assert (stage.task(task_id).status, stage.task(task_id).spec["strategy"]) == ("running", "load_balanced")
    stage.end(task_id, "lost")
    stage.schedule()
    assert stage.task(task_id).attempt == 2


def test_a_task_without_a_run_goes_to_an_external_worker() -> None:
    """One that can do its type, is there and has nothing to do; its next heartbeat hands the task over."""
    stage = Harmony()
    (task_id,) = stage.submit(spec(required_capabilities=["gpu"]))
    assert stage.distribute(task_id)["summary"] == "no worker is there that does this"
    assert stage.ask(q.ExplainTask(task_id))["verdict"] == "no_nodes"
    stage.add_external("worker-cannot", can=("testing",))
    stage.add_external(can=("building", "gpu"))
    stage.add_node()
    assert stage.distribute(task_id)["assigned_nodes"] == [EXTERNAL]
    beat = stage.give(o.Heartbeat(EXTERNAL, "idle"), BOT)
    assert (beat["assigned_task"], beat["attempt"]) == (task_id, 1)
    (second,) = stage.submit(spec(required_capabilities=["gpu"]))
    view = stage.ask(q.ExplainTask(second))
    failing = {each["node"]: [m["dimension"] for m in each["failing"]] for each in view["nodes"]}
    assert failing[EXTERNAL] == ["node"]
    assert failing["worker-cannot"] == ["capabilities.gpu", "capabilities.building"]
    assert stage.refuse(o.DistributeTask(second, ((second, EXTERNAL),))).details["stale"]
    assert stage.refuse(o.DistributeTask(second, ((second, NODE),))).details["stale"]


@pytest.mark.parametrize(
    ("asked", "code"),
    [
        ({"strategy": "guess"}, ErrorCode.VALIDATION_ERROR),
        ({"capabilities": ("telepathy",)}, ErrorCode.VALIDATION_ERROR),
    ],
)
def test_what_does_not_exist_is_named(asked: dict[str, Any], code: ErrorCode) -> None:
    """With what there is."""
    stage = Harmony()
    stage.give(o.RegisterWorker("h", ("gpu",), {"cpu": 2.0}, NODE, "node", "n", "b"), SYSTEM)
    (task_id,) = stage.submit(spec(run=COMMAND))
    refusal = stage.ask(q.PlanTask(task_id, **asked))
    assert refusal.code is code
    assert refusal.details["allowed_values"]
    if "strategy" in asked:
        assert stage.refuse(o.DistributeTask(task_id, ((task_id, NODE),), "guess")).code is code


def test_only_what_waits_is_distributed() -> None:
    """By whoever may change it; shards through their whole, and nothing that the plan is not about."""
    stage = Harmony()
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
    assert stage.refuse(o.DistributeTask(task_id, ((task_id, "worker-x"),))).details["stale"]
    _, shard, _ = stage.submit(spec(run=COMMAND, shards={"count": 2}))
    assert stage.ask(q.PlanTask(shard)).code is ErrorCode.CONFLICT
    (big,) = stage.submit(spec(run=COMMAND, resources={"cpu": 4}))
    stage.start(task_id)
    assert stage.refuse(o.DistributeTask(big, ((big, NODE),))).details["stale"]


def test_estimates_come_from_what_was_measured() -> None:
    """The middle and the ninth decile of the newest runs of the same kind."""
    stage = Harmony()
    stage.add_node()
    for seconds in (2.0, 4.0, 30.0):
        (task_id,) = stage.submit(spec(run=COMMAND))
        stage.start(task_id)
        stage.end(task_id, duration_s=seconds)
    (task_id,) = stage.submit(spec(run=COMMAND))
    plan = stage.ask(q.PlanTask(task_id))
    assert plan["estimated_completion"] == stage.now + 4
    assert plan["estimated_completion_p90"] == stage.now + 30
    assert plan["estimate_basis"] == "3 tasks of this kind ended before"
    (other,) = stage.submit(spec(run={"kind": "command", "argv": ["x"]}, resources={"cpu": 2}))
    assert stage.ask(q.PlanTask(other))["estimated_completion"] is None


def test_short_work_is_distributed_into_lanes_that_are_begun() -> None:
    """It waits for what its lane holds already."""
    stage = Harmony()
    stage.add_node(resources={"cpu": 1.0})
    (task_id,) = stage.submit(spec(run=COMMAND))
    stage.start(task_id)
    stage.end(task_id, duration_s=0.005)
    first, second = stage.submit(spec(run=COMMAND), spec(run=COMMAND))
    assert stage.distribute(first)["assigned_nodes"] == [NODE]
    assert stage.ask(q.PlanTask(second))["estimated_completion"] == pytest.approx(stage.now + 0.010)
    assert stage.distribute(second)["assigned_nodes"] == [NODE]


# ---------------------------------------------------------------------------------------------- quotas


def test_a_quota_bounds_what_runs_and_what_queues() -> None:
    """Other projects are not touched; explain says what is in the way."""
    stage = Harmony()
    stage.add_node()
    stage.give(o.SetQuota("p", {"cpu": 1.0, "queued": 3.0}, 2.0), ADMIN)
    first, second = stage.submit(*[spec(run=COMMAND, project_id="p")] * 2)
    (other,) = stage.submit(spec(run=COMMAND, project_id="o"))
    stage.schedule()
    assert [stage.task(i).status for i in (first, second, other)] == ["running", "pending", "running"]
    view = stage.ask(q.ExplainTask(second))
    assert view["verdict"] == "quota"
    assert view["change"] == [{"change": "raise_quota", "project_id": "p", "resource": "cpu", "by": 1.0}]
    assert view["history"][-1]["reason"] == "quota"
    stage.submit(spec(run=COMMAND, project_id="p"))
    data = stage.give(o.SubmitTasks((spec(run=COMMAND, project_id="p"),)))
    code, message, details = data["rejected"]["0"]
    assert (code, message, details["queued"]) == ("RATE_LIMIT_EXCEEDED", "The project's queue is full", 3)
    (seen,) = [each for each in stage.ask(q.ListQuotas(), VIEWER)["quotas"] if each["project_id"] == "p"]
    assert (seen["limits"], seen["weight"], seen["used"]["cpu"], seen["queued"]) == (
        {"cpu": 1.0, "queued": 3.0}, 2.0, 1.0, 3,
    )  # fmt: skip
    assert stage.ask(q.ListQuotas(), OTHER)["quotas"] == []
    stage.give(o.SetQuota("p"), ADMIN)
    assert stage.state.quotas == {}
    stage.schedule()
    assert stage.task(second).status == "running"


def test_more_than_a_quota_allows_at_once_is_refused_at_once() -> None:
    """It would wait for ever."""
    stage = Harmony()
    stage.give(o.SetQuota("p", {"cpu": 1.0}), ADMIN)
    data = stage.give(o.SubmitTasks((spec(run=COMMAND, project_id="p", resources={"cpu": 2}),)))
    assert data["rejected"]["0"][2] == {
        "field": "resources.cpu",
        "project_id": "p",
        "asked": 2.0,
        "limit": 1.0,
    }


@pytest.mark.parametrize(
    ("body", "field"),
    [
        (o.SetQuota(""), "project_id"),
        (o.SetQuota("p" * 129), "project_id"),
        (o.SetQuota("p", {}, 0.0), "weight"),
        (o.SetQuota("p", {}, float("nan")), "weight"),
        (o.SetQuota("p", {"cpu": -1.0}), "limits.cpu"),
        (o.SetQuota("p", {"cpu": float("inf")}), "limits.cpu"),
        (o.SetQuota("p", {f"r{i}": 1.0 for i in range(65)}), "limits"),
    ],
)
def test_bad_quotas_are_refused(body: o.SetQuota, field: str) -> None:
    """Whatever is wrong with them is named."""
    assert Harmony().refuse(body, ADMIN).details["field"] == field


# ---------------------------------------------------------------------------------------------- preemption


def test_urgent_work_takes_the_place_of_the_least_urgent() -> None:
    """Of what began last; the victim is queued again, first in its line, and counts as preempted, not as failed."""
    stage = Harmony()
    stage.add_node(resources={"cpu": 2.0})
    low, normal = stage.submit(spec(run=COMMAND, priority="low"), spec(run=COMMAND))
    stage.schedule()
    (urgent,) = stage.submit(spec(run=COMMAND, priority="critical"))
    view = stage.ask(q.ExplainTask(urgent))
    assert view["preempts"] == {"node": NODE, "tasks": [low]}
    stage.schedule()
    assert [stage.task(i).status for i in (low, normal, urgent)] == ["pending", "running", "running"]
    victim = stage.task(low)
    assert (victim.preemptions, victim.failures, victim.losses) == (1, 0, 0)
    assert (victim.error or {})["reason"] == "preempted"
    assert stage.sound()


@pytest.mark.parametrize(
    ("policy", "fields"),
    [
        (Policy(preempt_from="none"), {}),
        (Policy(preemptions_max=0), {}),
        (Policy(), {"preemptible": False}),
        (Policy(), {"priority": "critical"}),
    ],
)
def test_what_may_not_be_preempted_is_not(policy: Policy, fields: dict[str, Any]) -> None:
    """By policy, by its own word, or because it is as urgent."""
    stage = Harmony(policy)
    stage.add_node(resources={"cpu": 1.0})
    (running,) = stage.submit(spec(run=COMMAND, **fields))
    stage.schedule()
    (urgent,) = stage.submit(spec(run=COMMAND, priority="critical"))
    stage.schedule()
    assert [stage.task(i).status for i in (running, urgent)] == ["running", "pending"]
    assert stage.ask(q.ExplainTask(urgent))["preempts"] is None


def test_nobody_stops_for_a_task_that_does_not_start() -> None:
    """A plan that was overtaken preempts nothing."""
    stage = Harmony()
    stage.add_node()
    (running,) = stage.submit(spec(run=COMMAND))
    stage.start(running)
    stage.give(o.StartAttempts((("task-x", NODE),), ((running, 1),)), SYSTEM)
    assert stage.task(running).status == "running"


# ---------------------------------------------------------------------------------------------- submit


def test_what_no_node_could_ever_hold_is_refused() -> None:
    """Naming the most that one has; before there are nodes, and with types that may come, it waits."""
    stage = Harmony()
    huge = spec(run=COMMAND, resources={"gpu": 3})
    assert stage.submit(huge)
    stage.add_node(resources={"cpu": 4.0, "gpu": 2.0})
    code, message, details = stage.give(o.SubmitTasks((huge,)))["rejected"]["0"]
    assert (code, message) == ("VALIDATION_ERROR", "No node could ever hold this task")
    assert details == {
        "field": "resources.gpu", "asked": {"cpu": 1.0, "gpu": 3.0}, "largest_node": {"cpu": 4.0, "gpu": 2.0},
    }  # fmt: skip
    assert stage.submit(spec(resources={"gpu": 3})), "external workers are not bound by nodes"
    stage.add_node(NODE_2, resources={"cpu": 0.5, "gpu": 8.0})
    both = spec(run=COMMAND, resources={"cpu": 4, "gpu": 8})
    assert stage.give(o.SubmitTasks((both,)))["rejected"]["0"][2]["field"] == "resources"
    stage.policy = Policy(node_types=((("cpu", 8.0), ("gpu", 8.0)),))
    assert stage.submit(both)


def test_retry_after_follows_from_how_fast_tasks_end() -> None:
    """Sixty in the last minute are one a second."""
    stage = Harmony(Policy(queue_tasks_max=120))
    stage.add_node(resources={"cpu": 100.0})
    ids = stage.submit(*[spec(run=COMMAND)] * 120)
    stage.start(*ids[:60])
    for task_id in ids[:60]:
        stage.end(task_id)
    stage.submit(*[spec(run=COMMAND)] * 60)
    refusal = stage.refuse(o.SubmitTasks((spec(),) * 30))
    assert refusal.details == {"queued": 120, "limit": 120, "retry_after_s": 30}
    assert retry_after_s(stage.state, stage.now, 100_000) == RETRY_AFTER_S_MAX
    assert retry_after_s(stage.state, stage.now, 0) == RETRY_AFTER_S_MIN


def test_endings_are_remembered_for_a_minute() -> None:
    """In slices, the oldest of which is dropped."""
    stage = Harmony()
    for _ in range(20):
        stage.now += 10
        stage.end(stage.run_to("running"))
    assert len(stage.state.endings) == 7


# ---------------------------------------------------------------------------------------------- nodes


def test_the_status_counts_the_master_and_every_node() -> None:
    """Load is measured, and nothing is said of a node that was not heard of; what a node completed stays its own."""
    stage = Harmony()
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
    stage = Harmony()
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
    stage = Harmony()
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
    stage = Harmony()
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
    stage.now += REST_S + 1
    stage.schedule()
    assert stage.task(task_id).status == "running"
    worker = stage.state.workers[NODE]
    worker.lost_at = [0.0, 10.0, 5000.0]
    assert rests_until(worker) == 0.0


# ---------------------------------------------------------------------------------------------- explain


def test_an_explanation_says_what_would_help_and_when() -> None:
    """The dimension and the deficit of each node, the soonest room, and where the task stands in the queue."""
    stage = Harmony()
    stage.add_node(resources={"cpu": 2.0, "npu": 1.0})
    (quick,) = stage.submit(spec(run=COMMAND, resources={"npu": 1}))
    stage.start(quick)
    stage.end(quick, duration_s=40.0)
    (running,) = stage.submit(spec(run=COMMAND, resources={"npu": 1}))
    stage.start(running)
    stage.now += 10
    before, task_id = stage.submit(*[spec(run=COMMAND, resources={"npu": 1})] * 2)
    view = stage.ask(q.ExplainTask(task_id))
    assert (view["verdict"], view["queued_ahead"]) == ("waiting", 1)
    (failing,) = view["nodes"][0]["failing"]
    assert failing == {
        "dimension": "resources.npu", "asked": 1.0, "has": 0.0, "deficit": 1.0, "kind": "waiting",
    }  # fmt: skip
    assert view["expected_free"] == {"node": NODE, "in_s": 30.0, "missing": {"npu": 1.0}}
    assert view["change"] == [{"change": "reduce", "resource": "npu", "to": 0.0, "by": 1.0}]
    assert stage.ask(q.ExplainTask(before))["estimated_start"] == stage.now + 30
    assert before


@pytest.mark.parametrize(
    ("status", "verdict"),
    [("waiting", "dependencies"), ("running", "running"), ("completed", "completed"), ("failed", "failed")],
)
def test_what_does_not_wait_for_a_node_says_so(status: str, verdict: str) -> None:
    """With what it waits for, if it waits."""
    stage = Harmony()
    view = stage.ask(q.ExplainTask(stage.run_to(status)))
    assert (view["verdict"], view["nodes"]) == (verdict, [])


def test_a_delayed_task_says_until_when() -> None:
    """Its retry delay is not over."""
    stage = Harmony()
    task_id = stage.run_to("running", max_retries=1)
    stage.end(task_id, "failed")
    view = stage.ask(q.ExplainTask(task_id))
    assert (view["verdict"], view["not_before"]) == ("delayed", stage.task(task_id).not_before)


def test_a_gang_is_explained_as_a_whole() -> None:
    """By the whole's id and by a shard's."""
    stage = Harmony()
    stage.add_node(resources={"cpu": 2.0})
    whole, first, *_ = stage.submit(spec(run=COMMAND, shards={"count": 3, "gang": True}))
    stage.schedule()
    for task_id in (whole, first):
        view = stage.ask(q.ExplainTask(task_id))
        assert view["change"] == [{"change": "fewer_shards", "to": 2, "by": 1}]
        assert view["verdict"] == "waiting"


def test_nodes_that_are_not_there_explain_nothing() -> None:
    """Nor do tasks that one may not see."""
    stage = Harmony()
    (task_id,) = stage.submit(spec(run=COMMAND))
    assert stage.ask(q.ExplainTask(task_id))["summary"] == "no node is there"
    assert stage.ask(q.ExplainTask(task_id), OTHER).code is ErrorCode.NOT_FOUND
