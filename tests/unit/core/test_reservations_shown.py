"""Reservations in the engine's state: made once a second, shown in explanations, ended with their task."""

from __future__ import annotations

from helix_ray.core import orders as o
from helix_ray.core import questions as q
from helix_ray.core.access import SYSTEM
from helix_ray.core.placement.estimate import UNMEASURED_S, endings
from helix_ray.core.placement.plan import RESERVED
from helix_ray.core.placement.reservation import Ending
from helix_ray.core.policy import Policy
from helix_ray.core.state import TaskClass, class_of
from helix_ray.followers.scheduler import IN_VAIN_S, SEARCH_EVERY_S
from tests.unit.core.scheduled_stage import ScheduledStage
from tests.unit.core.stage import ADMIN, COMMAND, DEV, NODE, NODE_2, OTHER, spec

RESERVE_AFTER_S = 60.0


def asks(cpu: float) -> TaskClass:
    return class_of(spec(run=COMMAND, resources={"cpu": cpu}))


ONE = asks(1.0)


def stage_with_a_large_task(policy: Policy | None = None) -> tuple[ScheduledStage, str, list[str]]:
    """Return a stage with a node of two CPUs, one of them in use, and a task for
    both that has waited long."""
    stage = ScheduledStage(policy)
    stage.add_node(resources={"cpu": 2.0})
    small = stage.submit(spec(run=COMMAND))
    stage.schedule()
    (large,) = stage.submit(spec(run=COMMAND, resources={"cpu": 2}))
    stage.now += RESERVE_AFTER_S
    return stage, large, small


def test_an_explanation_tells_whom_it_holds_for_and_who_waits_for_that() -> None:
    """The explanation of the task names the nodes, those of the others name the task, and so does the node;
    placing by hand ignores the reservation."""
    stage, large, _ = stage_with_a_large_task()
    (small,) = stage.submit(spec(run=COMMAND))
    stage.schedule()
    assert stage.ask(q.ExplainTask(large))["holds"] == [NODE]
    view = stage.ask(q.ExplainTask(small))
    assert (view["verdict"], view["change"], view["holds"]) == ("waiting", None, [])
    busy = "1 of 1 nodes can run it but are busy now"
    assert view["summary"] == f"{busy}; 1 of them reserved for {large}, ahead of it in the queue"
    assert view["reasons"] == [{"dimension": "node", "kind": "waiting", "nodes": 1}]
    assert [wait["reason"] for wait in view["history"]] == [RESERVED]
    assert stage.ask(q.GetNode(NODE))["held_for"] == large
    assert stage.ask(q.GetNode(NODE), OTHER)["held_for"] == "another task"
    assert stage.distribute(small)["assigned_nodes"] == [NODE]


def test_a_task_that_is_gone_holds_nothing() -> None:
    """Its cancellation opens the node for who waited."""
    stage, large, _ = stage_with_a_large_task()
    (small,) = stage.submit(spec(run=COMMAND))
    stage.schedule()
    assert stage.task(small).status == "pending"
    stage.give(o.CancelTask(large), ADMIN)
    stage.schedule()
    assert stage.task(small).status == "running"
    assert stage.ask(q.GetNode(NODE))["held_for"] is None
    # Nothing waits: there is no plan, and no hold.
    (last,) = stage.submit(spec(run=COMMAND, resources={"cpu": 2}))
    stage.now += RESERVE_AFTER_S
    stage.schedule()
    assert stage.liveness.reservations != ()
    stage.give(o.CancelTask(last), ADMIN)
    stage.schedule()
    assert stage.liveness.reservations == ()


def test_holds_can_be_turned_off_and_end_where_another_node_comes() -> None:
    """With 0 small ones always pass."""
    stage, _, _ = stage_with_a_large_task(Policy(reserve_after_s=0.0))
    (small,) = stage.submit(spec(run=COMMAND))
    stage.schedule()
    assert stage.task(small).status == "running"
    stage, large, _ = stage_with_a_large_task()
    stage.schedule()
    assert stage.liveness.reservations != ()
    stage.add_node(NODE_2, resources={"cpu": 2.0})
    stage.schedule()
    assert (stage.task(large).worker, stage.liveness.reservations) == (NODE_2, ())


def test_nodes_are_searched_once_a_second() -> None:
    """And for the same class less often where none was found."""
    stage, large, _ = stage_with_a_large_task()
    (another,) = stage.submit(spec(run=COMMAND, resources={"cpu": 2}, project_id="another"))
    stage.now += RESERVE_AFTER_S
    stage.schedule()
    # Its project holds less.
    assert [reservation.task_id for reservation in stage.liveness.reservations] == [another]
    stage.give(o.CancelTask(another), ADMIN)
    stage.now += SEARCH_EVERY_S / 2
    stage.schedule()
    assert stage.liveness.reservations == ()
    stage.now += SEARCH_EVERY_S / 2
    stage.schedule()
    assert [reservation.task_id for reservation in stage.liveness.reservations] == [large]
    stage, large, _ = stage_with_a_large_task()
    stage.give(o.DrainWorker(NODE, draining=True), ADMIN)
    stage.schedule()
    stage.give(o.DrainWorker(NODE, draining=False), ADMIN)
    stage.now += IN_VAIN_S / 2
    stage.schedule()
    assert stage.liveness.reservations == ()
    stage.now += IN_VAIN_S / 2
    stage.schedule()
    assert [reservation.task_id for reservation in stage.liveness.reservations] == [large]


def test_when_things_end_as_far_as_anybody_can_tell() -> None:
    """By the class's average; if that is unknown or exceeded, as long again. Short tasks share a slot."""
    stage = ScheduledStage()
    stage.add_node(resources={"cpu": 8.0})
    (known,) = stage.submit(spec(run=COMMAND))
    (unknown,) = stage.submit(spec(run=COMMAND, resources={"cpu": 3}))
    stage.schedule()
    stage.state.durations.note(stage.task(known).task_class[:3], 10.0)

    def expected() -> list[Ending]:
        return sorted(endings(stage.state, NODE, lambda task_class: 1, stage.now))

    began = stage.now
    ran = began - (stage.task(known).started_at or 0.0)
    assert expected() == [(10.0 - ran, ONE.demand), (UNMEASURED_S, asks(3.0).demand)]
    stage.now += 4.0
    assert expected()[0] == (6.0 - ran, ONE.demand)
    stage.now += 96.0
    assert expected() == [(100.0 + ran, ONE.demand), (100.0 + ran, asks(3.0).demand)]
    assert sorted(endings(stage.state, NODE, lambda task_class: 4, stage.now)) == [
        (0.05, ONE.demand),
        (0.05, asks(3.0).demand),
    ]
    assert list(endings(stage.state, "nobody", lambda task_class: 1, stage.now)) == []
    assert unknown != known


def test_only_the_tasks_owner_is_needed_to_read_it() -> None:
    """Everybody who may see a task may read its explanation."""
    stage, large, _ = stage_with_a_large_task()
    stage.schedule()
    assert stage.ask(q.ExplainTask(large), DEV)["holds"] == [NODE]
    assert stage.ask(q.ListNodes(), SYSTEM)["nodes"][0]["held_for"] == large
