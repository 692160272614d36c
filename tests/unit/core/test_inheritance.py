"""A task that a more urgent one waits for is queued as that one would be."""

from __future__ import annotations

from typing import Any

import pytest

from helix_ray.core import orders as o
from helix_ray.core import questions as q
from helix_ray.core import snapshot
from helix_ray.core.access import SYSTEM
from helix_ray.core.blocking import level_of
from helix_ray.core.invariants import check
from helix_ray.core.specs import LEVELS, PRIORITIES
from helix_ray.followers.base import News
from helix_ray.followers.cascades import Cascade
from tests.unit.core.stage import ADMIN, DEV
from tests.unit.core.waiting_stage import CALL, WaitingStage

LOW: dict[str, Any] = {**CALL, "priority": "low"}
CRITICAL: dict[str, Any] = {**CALL, "priority": "critical"}


@pytest.fixture
def stage() -> WaitingStage:
    """A node whose only CPU is taken."""
    stage = WaitingStage()
    stage.begun(priority="critical")
    return stage


def settle(stage: WaitingStage) -> int:
    """Carry out what the follower asks for until nothing is left; return how many orders that took."""
    cascade, orders = Cascade(stage.policy), 0
    while bodies := cascade.react(News(stage.state, stage.liveness, stage.now, stage.now)):
        for body in bodies:
            stage.give(body, SYSTEM)
            orders += 1
        assert check(stage.state) == []
    return orders


def priority(stage: WaitingStage, task_id: str) -> str:
    """Return the priority with which a task is queued."""
    return PRIORITIES[level_of(stage.state, stage.task(task_id))]


def test_a_dependency_inherits(stage: WaitingStage) -> None:
    """It is placed before what is more urgent than itself; its own priority stays what it was."""
    before = stage.submit({**CALL, "priority": "high"})[0]
    low = stage.submit(LOW)[0]
    urgent = stage.submit({**CRITICAL, "depends_on": [low]})[0]
    assert settle(stage) == 1
    assert stage.ask(q.GetTask(low))["priority"] == "low"
    view = stage.ask(q.ExplainTask(low))
    assert view["inherits"] == {"priority": "critical", "task": urgent}
    assert f"it has the priority critical of {urgent}, which waits for it" in view["summary"]
    assert view["queued_ahead"] == 0
    stage.end(next(iter(stage.state.workers["worker-node"].running)))
    stage.schedule()
    assert stage.statuses(low, before) == ["running", "pending"]


def test_a_waiter_that_its_reader_may_not_see_has_no_name(stage: WaitingStage) -> None:
    """That another task waits is said, and not which; an administrator reads its id."""
    low = stage.submit(LOW)[0]
    urgent = stage.submit({**CRITICAL, "depends_on": [low]}, by=ADMIN)[0]
    settle(stage)
    shown = stage.ask(q.ExplainTask(low), DEV)
    assert shown["inherits"] == {"priority": "critical", "task": "another task"}
    assert urgent not in shown["summary"]
    assert stage.ask(q.ExplainTask(low), ADMIN)["inherits"]["task"] == urgent


def test_it_reaches_what_is_waited_for_indirectly(stage: WaitingStage) -> None:
    """Through dependencies, through a running task that is blocked, and into shards."""
    shards = {**LOW, "shards": {"count": 2}}
    far = stage.submit(LOW, shards)[:2]
    middle = stage.submit({**LOW, "depends_on": far})[0]
    parent = next(iter(stage.state.workers["worker-node"].running))
    stage.block(parent, middle)
    assert settle(stage) == 3
    assert {priority(stage, i) for i in (*far, f"{far[1]}-s0", f"{far[1]}-s1", middle)} == {"critical"}
    stage.go_on(parent)
    settle(stage)
    assert stage.state.inherited == {}


@pytest.mark.parametrize("ending", ["cancel", "delete", "edit", "unblock"])
def test_it_ends_with_the_wait(stage: WaitingStage, ending: str) -> None:
    """What nobody urgent waits for any more is as urgent as it says itself."""
    low = stage.submit(LOW)[0]
    if ending == "unblock":
        parent = next(iter(stage.state.workers["worker-node"].running))
        stage.block(parent, low)
    else:
        urgent = stage.submit({**CRITICAL, "depends_on": [low]})[0]
    settle(stage)
    assert priority(stage, low) == "critical"
    match ending:
        case "cancel":
            stage.give(o.CancelTask(urgent))
        case "delete":
            stage.give(o.DeleteTask(urgent))
        case "edit":
            stage.give(o.UpdateTask(urgent, edits={"priority": "low"}))
        case _:
            stage.go_on(parent)
    settle(stage)
    assert (priority(stage, low), stage.state.inherited) == ("low", {})


def test_the_most_urgent_one_counts(stage: WaitingStage) -> None:
    """When it is gone, the next one does."""
    low = stage.submit(LOW)[0]
    high = stage.submit({**CALL, "priority": "high", "depends_on": [low]})[0]
    critical = stage.submit({**CRITICAL, "depends_on": [low]})[0]
    settle(stage)
    assert stage.state.inherited[low] == (LEVELS["critical"], critical)
    stage.give(o.CancelTask(critical))
    settle(stage)
    assert stage.state.inherited[low] == (LEVELS["high"], high)


def test_it_follows_what_a_task_is_set_to(stage: WaitingStage) -> None:
    """A task that is edited passes its priority on; one that is as urgent itself inherits nothing."""
    low = stage.submit(LOW)[0]
    other = stage.submit({**LOW, "depends_on": [low]})[0]
    assert settle(stage) == 0
    stage.give(o.UpdateTask(other, edits={"priority": "high"}))
    settle(stage)
    assert priority(stage, low) == "high"
    stage.give(o.UpdateTask(low, edits={"priority": "critical"}))
    settle(stage)
    assert stage.state.inherited == {}


def test_dependents_of_the_same_order_count(stage: WaitingStage) -> None:
    """Also where a batch names a task that comes later."""
    _, low = stage.submit({**CRITICAL, "depends_on": ["#1"]}, LOW)
    settle(stage)
    assert priority(stage, low) == "critical"


def test_a_retried_task_inherits_again(stage: WaitingStage) -> None:
    """Its dependents are queued with it, and wait for it again."""
    low = stage.submit(LOW)[0]
    stage.submit({**CRITICAL, "depends_on": [low]})
    settle(stage)
    stage.give(o.CancelTask(low))
    settle(stage)
    assert stage.state.inherited == {}
    stage.give(o.RetryTask(low, dependants=True))
    settle(stage)
    assert priority(stage, low) == "critical"


def test_levels_of_one_order_follow_from_each_other(stage: WaitingStage) -> None:
    """Two tasks of a chain are recomputed by one order: the second sees what the first one gets."""
    far = stage.submit(LOW)[0]
    near = stage.submit({**LOW, "depends_on": [far]})[0]
    first = stage.submit({**CALL, "priority": "normal", "depends_on": [near]})[0]
    settle(stage)
    second = stage.submit({**CRITICAL, "depends_on": [near]})[0]
    stage.give(o.CancelTask(first))
    stage.state.dirty_levels[far] = None
    stage.give(o.SpreadEndings(500), SYSTEM)
    assert (stage.sound(), priority(stage, far)) == (True, "critical")
    stage.give(o.CancelTask(second))
    settle(stage)
    assert stage.state.inherited == {}


def test_one_order_settles_a_bounded_number(stage: WaitingStage) -> None:
    """However many tasks an urgent one waits for, no commit is long; what is left is in the state, and in a
    snapshot of it."""
    count = 900
    low = stage.submit(*[LOW] * count)
    stage.submit({**CRITICAL, "depends_on": low})
    seen = len(stage.facts)
    stage.give(o.SpreadEndings(stage.policy.spread_tasks_max), SYSTEM)
    assert len(stage.facts) - seen == stage.policy.spread_tasks_max
    assert len(stage.state.dirty_levels) == count - stage.policy.spread_tasks_max
    again = snapshot.load(snapshot.dump(stage.state))
    assert (again.dirty_levels, again.inherited) == (stage.state.dirty_levels, stage.state.inherited)
    assert check(again) == []
    settle(stage)
    assert {priority(stage, task_id) for task_id in low} == {"critical"}


def test_a_running_task_that_is_waited_for_is_not_preempted_as_a_low_one() -> None:
    """What an urgent task waits for is as urgent."""
    stage = WaitingStage()
    low = stage.begun(priority="low")
    stage.submit({**CRITICAL, "depends_on": [low]})
    settle(stage)
    stage.submit(CRITICAL)
    stage.schedule()
    assert stage.statuses(low) == ["running"]
