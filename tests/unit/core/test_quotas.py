"""Quotas, preemption, and what is refused where it is submitted."""

from __future__ import annotations

from typing import Any

import pytest

from helix_ray.core import orders as o
from helix_ray.core import questions as q
from helix_ray.core.access import SYSTEM
from helix_ray.core.backpressure import RETRY_AFTER_S_MAX, RETRY_AFTER_S_MIN, retry_after_s
from helix_ray.core.policy import Policy
from tests.unit.core.scheduled_stage import ScheduledStage
from tests.unit.core.stage import (
    ADMIN,
    COMMAND,
    NODE,
    NODE_2,
    OTHER,
    VIEWER,
    spec,
)


def test_a_quota_bounds_what_runs_and_what_queues() -> None:
    """Other projects are not touched; explain says what is in the way."""
    stage = ScheduledStage()
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
    stage = ScheduledStage()
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
    assert ScheduledStage().refuse(body, ADMIN).details["field"] == field


def test_urgent_work_takes_the_place_of_the_least_urgent() -> None:
    """Of what began last; the victim is queued again, first in its line, and counts as
    preempted, not as failed."""
    stage = ScheduledStage()
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
    stage = ScheduledStage(policy)
    stage.add_node(resources={"cpu": 1.0})
    (running,) = stage.submit(spec(run=COMMAND, **fields))
    stage.schedule()
    (urgent,) = stage.submit(spec(run=COMMAND, priority="critical"))
    stage.schedule()
    assert [stage.task(i).status for i in (running, urgent)] == ["running", "pending"]
    assert stage.ask(q.ExplainTask(urgent))["preempts"] is None


def test_nobody_stops_for_a_task_that_does_not_start() -> None:
    """A plan that was overtaken preempts nothing."""
    stage = ScheduledStage()
    stage.add_node()
    (running,) = stage.submit(spec(run=COMMAND))
    stage.start(running)
    stage.give(o.StartAttempts((("task-x", NODE),), ((running, 1),)), SYSTEM)
    assert stage.task(running).status == "running"


def test_what_no_node_could_ever_hold_is_refused() -> None:
    """Naming the most that one has; before there are nodes, and with types that may come, it waits."""
    stage = ScheduledStage()
    huge = spec(run=COMMAND, resources={"gpu": 3})
    assert stage.submit(huge)
    stage.add_node(resources={"cpu": 4.0, "gpu": 2.0})
    code, message, details = stage.give(o.SubmitTasks((huge,)))["rejected"]["0"]
    assert (code, message) == ("VALIDATION_ERROR", "No node can ever run this task")
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
    stage = ScheduledStage(Policy(queue_tasks_max=120))
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
    stage = ScheduledStage()
    for _ in range(20):
        stage.now += 10
        stage.end(stage.run_to("running"))
    assert len(stage.state.endings) == 7


def test_no_detour_leads_past_a_quota() -> None:
    """What a submit is refused, neither an edit nor a retry reaches; leaving for a
    project with room is free."""
    stage = ScheduledStage()
    stage.add_node()
    stage.give(o.SetQuota("p", {"cpu": 1.0, "queued": 1.0}), ADMIN)
    (inside,) = stage.submit(spec(run=COMMAND, project_id="p"))
    (outside,) = stage.submit(spec(run=COMMAND))
    moved = stage.refuse(o.UpdateTask(outside, edits={"project_id": "p"}))
    assert (moved.code, moved.details["queued"]) == ("RATE_LIMIT_EXCEEDED", 1)
    assert moved.details["retry_after_s"] >= 1
    grown = stage.refuse(o.UpdateTask(inside, edits={"resources": {"cpu": 2}}))
    assert (grown.code, grown.details["field"]) == ("VALIDATION_ERROR", "resources.cpu")
    stage.give(o.UpdateTask(inside, edits={"project_id": "p", "title": "still there"}))
    stage.give(o.CancelTask(inside))
    stage.give(o.UpdateTask(outside, edits={"project_id": "p"}))
    assert stage.refuse(o.RetryTask(inside)).code == "RATE_LIMIT_EXCEEDED"
    stage.give(o.UpdateTask(outside, edits={"project_id": None}))
    stage.give(o.RetryTask(inside))
    assert stage.state.unfinished["p"] == 1
