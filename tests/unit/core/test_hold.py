"""Room held for what has waited long: on which nodes, against whom, and until when."""

from __future__ import annotations

from typing import Any

from helix_ray.core import orders as o
from helix_ray.core import questions as q
from helix_ray.core.access import SYSTEM
from helix_ray.core.placement import Fleet, Node, Rules, place
from helix_ray.core.placement.estimate import UNMEASURED_S, endings
from helix_ray.core.placement.hold import AHEAD_S_MAX, HELD, PATIENCE_S_MIN, Ending, make_hold
from helix_ray.core.placement.plan import NO_ROOM, Plan
from helix_ray.core.policy import Policy
from helix_ray.core.state import ReadyQueue, TaskClass, class_of
from helix_ray.core.waits import Hold
from tests.unit.core.harmony_stage import Harmony
from tests.unit.core.stage import ADMIN, COMMAND, DEV, NODE, NODE_2, spec

NOW = 1_000.0
HOLD_AFTER_S = 60.0


def asks(cpu: float = 1.0, **fields: Any) -> TaskClass:
    return class_of(spec(run=COMMAND, resources={"cpu": cpu}, **fields))


ONE, FOUR = asks(), asks(4.0)


def busy(name: str, lanes: int = 4, **more: Any) -> Node:
    """Return a node of four CPUs that runs so many tasks of one."""
    return Node(name, {"cpu": 4.0}, load={ONE: lanes} if lanes else {}, **more)


def ending(*in_s: float) -> list[Ending]:
    """Return when lanes of one CPU end."""
    return [(at, ONE.demand) for at in in_s]


def hold_on(
    nodes: list[Node], ends: dict[str, list[Ending]], group: TaskClass = FOUR, wanted: int = 1
) -> Any:
    fleet = Fleet(nodes, lambda group: 1)
    hold = make_hold(fleet, group, "t", wanted, lambda node_id: ends.get(node_id, []), NOW)
    return None if hold is None else (hold.nodes, hold.until - NOW)


def test_the_node_that_has_room_first_is_held() -> None:
    """What counts is the last one to end there; nodes that are closed, too small, or others' are none."""
    ends = {"a": ending(1, 1, 1, 90), "b": ending(40, 41, 42, 43), "c": ending(2, 2, 2, 2)}
    assert hold_on([busy("a"), busy("b")], ends) == (("b",), 86.0)
    assert hold_on([busy("a"), busy("b"), busy("c")], ends) == (("c",), PATIENCE_S_MIN)
    closed = busy("c", closed="draining")
    assert hold_on([busy("a"), busy("b"), closed], ends) == (("b",), 86.0)
    ends["c"] = ending(2, 2, 2)
    for c in (busy("c", 3, foreign={"cpu": 1.0}), Node("c", {"cpu": 3.0}, load={ONE: 3})):
        assert hold_on([busy("a"), busy("b"), c], ends) == (("b",), 86.0)
    assert hold_on([busy("a")], {"a": ending(1, 1, 1)}) is None
    far = AHEAD_S_MAX + 1
    assert hold_on([busy("a")], {"a": ending(1, 1, 1, far)}) is None
    assert hold_on([busy("a"), busy("b")], {"a": ending(1, 1, 1, far), "b": ending(1, 1, 1, far - 1)}) == (
        ("b",),
        2 * AHEAD_S_MAX,
    )


def test_a_gang_is_held_as_many_nodes_as_it_needs() -> None:
    """Those of which all together have room first; none that would not be missed."""
    two = asks(2.0, shards={"count": 3, "gang": True})
    ends = {"a": ending(5, 5, 5, 5), "b": ending(10, 10, 10, 10), "c": ending(1, 1, 99, 99)}
    nodes = [busy("a"), busy("b"), busy("c")]
    assert hold_on(nodes, ends, two, 2) == (("a",), PATIENCE_S_MIN)
    assert hold_on(nodes, ends, two, 3) == (("a", "c"), PATIENCE_S_MIN)
    assert hold_on(nodes, ends, two, 4) == (("a", "b"), PATIENCE_S_MIN)
    assert hold_on(nodes, ends, two, 6) == (("a", "b", "c"), 198.0)
    assert hold_on(nodes, ends, two, 7) is None


# ------------------------------------------------------------------------------------------------ in a plan


def waiting(*lines: tuple[TaskClass, str, int, float]) -> dict[TaskClass, ReadyQueue]:
    """Return queues of (class, task, level, created at)."""
    ready: dict[TaskClass, ReadyQueue] = {}
    for group, task_id, level, created_at in lines:
        ready.setdefault(group, ReadyQueue()).add(task_id, level, created_at, first=False)
    return ready


OLD = NOW - HOLD_AFTER_S
LARGE = (FOUR, "large", 1, OLD)
SMALL = (ONE, "small", 1, NOW)


def plan_of(fleet: Fleet, *lines: tuple[TaskClass, str, int, float], limit: int = 100, **rules: Any) -> Plan:
    ends = {"a": ending(10, 10, 10), "b": ending(20, 20, 20)}
    known: dict[str, Any] = {"hold_after_s": HOLD_AFTER_S, "endings": lambda node_id: ends.get(node_id, [])}
    return place(fleet, waiting(*lines), Rules(**(known | rules)), NOW, limit)


def three_of_four() -> Fleet:
    return Fleet([busy("a", 3), busy("b", 3)], lambda group: 1)


def test_small_ones_are_kept_out_of_the_held_node_only() -> None:
    """They are told why, and find it open again in the next plan."""
    fleet = three_of_four()
    plan = plan_of(fleet, LARGE, SMALL, (ONE, "small-2", 1, NOW))
    assert plan.pairs == [("small", "b")]
    assert plan.blocked == {FOUR: NO_ROOM, ONE: HELD}
    assert [(hold.task_id, hold.nodes) for hold in plan.holds] == [("large", ("a",))]
    assert [node.closed for node in fleet.nodes.values()] == ["", ""]
    assert plan_of(fleet, SMALL, holds=plan.holds).pairs == [("small", "a")]


def test_those_before_it_are_not() -> None:
    """A more urgent task takes the held node."""
    plan = plan_of(three_of_four(), LARGE, *[(ONE, f"urgent-{i}", 3, NOW) for i in range(2)])
    assert {node_id for _, node_id in plan.pairs} == {"a", "b"}


def test_nobody_is_held_for_who_has_not_waited_or_may_not_be() -> None:
    """Before its time, where holds are off, and for what fits on no node even when all has ended."""
    young = (FOUR, "large", 1, OLD + 1)
    huge = (asks(5.0), "huge", 1, OLD)
    for plan in (
        plan_of(three_of_four(), young, SMALL),
        plan_of(three_of_four(), LARGE, SMALL, hold_after_s=None),
        plan_of(three_of_four(), huge, SMALL),
    ):
        assert plan.holds == ()
        assert len(plan.pairs) == 1


def test_lanes_that_have_begun_on_a_held_node_take_no_more() -> None:
    """Short tasks would go on behind each other there."""
    fleet = Fleet(
        [Node("a", {"cpu": 1.0, "gpu": 1.0}, load={ONE: 1})], lambda group: 3 if group == ONE else 1
    )
    both = class_of(spec(run=COMMAND, resources={"cpu": 1, "gpu": 1}))
    plan = plan_of(fleet, (both, "large", 1, OLD), SMALL, endings=lambda node_id: ending(0.05))
    assert (plan.pairs, plan.blocked[ONE]) == ([], HELD)


def test_a_hold_stays_where_it_is() -> None:
    """Though another node would have room sooner now, and while others come that have waited as long."""
    held = Hold(FOUR, "large", ("b",), NOW + 1)
    later = (asks(3.0), "third", 1, OLD)
    assert plan_of(three_of_four(), LARGE, SMALL, later, holds=(held,)).holds == (held,)
    # A class before it gets none beside it.
    older = (asks(3.0), "older", 1, OLD - 1)
    plan = plan_of(three_of_four(), older, LARGE, SMALL, holds=(held,))
    assert (plan.holds, plan.sought_hold) == ((held,), False)


def test_a_hold_is_thought_over() -> None:
    """After its time, and at once where a node of it is gone, is drained, or nobody of the class waits any more."""
    for hold in (Hold(FOUR, "large", ("b",), NOW), Hold(FOUR, "large", ("gone",), NOW + 1)):
        plan = plan_of(three_of_four(), LARGE, holds=(hold,))
        assert [hold.nodes for hold in plan.holds] == [("a",)]
        assert plan.sought_hold
    drained = Fleet([busy("a", 3), busy("b", 3, closed="draining")], lambda group: 1)
    plan = plan_of(drained, LARGE, holds=(Hold(FOUR, "large", ("b",), NOW + 1),))
    assert [hold.nodes for hold in plan.holds] == [("a",)]
    other = asks(3.0)
    plan = plan_of(three_of_four(), LARGE, holds=(Hold(other, "went", ("b",), NOW + 1),))
    assert [hold.group for hold in plan.holds] == [FOUR]


def test_a_hold_ends_when_its_task_starts() -> None:
    """On whichever node."""
    fleet = Fleet([busy("a", 3), busy("c", 0)], lambda group: 1)
    plan = plan_of(fleet, LARGE, SMALL, holds=(Hold(FOUR, "large", ("a",), NOW + 1),))
    assert plan.pairs == [("large", "c"), ("small", "a")]
    assert plan.holds == ()


def test_a_plan_that_is_full_before_its_turn_keeps_it() -> None:
    """Nobody behind it was given anything either."""
    held = Hold(FOUR, "large", ("a",), NOW + 1)
    urgent = [(ONE, f"urgent-{i}", 3, NOW) for i in range(2)]
    assert plan_of(three_of_four(), LARGE, *urgent, limit=1, holds=(held,)).holds == (held,)


def many_nodes(count: int) -> Fleet:
    """Return nodes with one CPU free each."""
    return Fleet([busy(f"n{i:02}", 3) for i in range(count)], lambda group: 1)


def after_plans(fleet: Fleet, plans: int, *lines: tuple[TaskClass, str, int, float]) -> tuple[Hold, ...]:
    """Return the holds after some plans of the same queues; every third lane ends in a minute, the others sooner."""
    holds: tuple[Hold, ...] = ()
    for _ in range(plans):
        plan = plan_of(fleet, *lines, holds=holds, endings=lambda node_id: ending(1, 2, 60))
        assert len(plan.holds) <= len(holds) + 1
        holds = plan.holds
    return holds


def test_one_node_in_twenty_may_be_held() -> None:
    """A task each, the first come first; none for those that have not waited as long."""
    old = [(FOUR, f"large-{i}", 1, OLD) for i in range(4)]
    holds = after_plans(many_nodes(60), 5, *old)
    assert [hold.task_id for hold in holds] == ["large-0", "large-1", "large-2"]
    assert len({node_id for hold in holds for node_id in hold.nodes}) == 3
    assert len(after_plans(many_nodes(60), 5, old[0], (FOUR, "young", 1, NOW))) == 1
    three = asks(3.0)
    holds = after_plans(many_nodes(60), 5, (FOUR, "four", 1, OLD), (three, "three", 1, OLD + 1))
    assert [hold.group for hold in holds] == [FOUR]
    holds = after_plans(many_nodes(60), 5, (FOUR, "four", 1, OLD - 1), (three, "three", 1, OLD))
    assert [hold.group for hold in holds] == [FOUR, three]


def test_a_gang_may_have_more_and_then_has_all() -> None:
    """What one needs is not held in parts; beside another it has to keep within the bound."""
    gang = FOUR._replace(gang="whole")
    shards = [(gang, f"whole-s{i}", 1, OLD) for i in range(4)]
    holds = after_plans(many_nodes(40), 3, *shards, (FOUR, "large", 1, OLD))
    assert [(hold.task_id, len(hold.nodes)) for hold in holds] == [("whole-s0", 4)]
    holds = after_plans(many_nodes(40), 3, (FOUR, "large", 1, OLD - 1), *shards)
    assert [(hold.task_id, len(hold.nodes)) for hold in holds] == [("large", 1)]
    holds = after_plans(many_nodes(100), 3, (FOUR, "large", 1, OLD - 1), *shards)
    assert [(hold.task_id, len(hold.nodes)) for hold in holds] == [("large", 1), ("whole-s0", 4)]


def test_a_class_that_is_kept_out_keeps_what_is_held_for_it() -> None:
    """Three CPUs would fit on the node that is held for four; its own hold is on another."""
    three = asks(3.0)
    fleet = Fleet([busy("a", 1), busy("b", 3)], lambda group: 1)
    holds = (Hold(FOUR, "large", ("a",), NOW + 1), Hold(three, "third", ("b",), NOW + 1))
    plan = plan_of(fleet, (FOUR, "large", 1, OLD - 1), (three, "third", 1, OLD), holds=holds)
    assert (plan.pairs, plan.blocked[three], plan.holds) == ([], HELD, holds)


def test_a_node_is_given_up_where_one_of_the_class_begins() -> None:
    """The next one of it holds another, when it has waited long enough."""
    fleet = Fleet([busy("a", 0), busy("b", 3)], lambda group: 1)
    young = (FOUR, "young", 1, NOW)
    plan = plan_of(fleet, LARGE, young, SMALL, holds=(Hold(FOUR, "large", ("a",), NOW + 1),))
    assert plan.pairs == [("large", "a"), ("small", "b")]
    assert plan.holds == ()


# --------------------------------------------------------------------------------------------- on the stage


def stage_with_a_large_task(policy: Policy | None = None) -> tuple[Harmony, str, list[str]]:
    """Return a stage with a node of two CPUs, one of them in use, and a task for both that has waited long."""
    stage = Harmony(policy)
    stage.add_node(resources={"cpu": 2.0})
    small = stage.submit(spec(run=COMMAND))
    stage.schedule()
    (large,) = stage.submit(spec(run=COMMAND, resources={"cpu": 2}))
    stage.now += HOLD_AFTER_S
    return stage, large, small


def test_an_explanation_tells_whom_it_holds_for_and_who_waits_for_that() -> None:
    """The task says which nodes, the others say for which task, the node says so too; by hand it is still to be had."""
    stage, large, _ = stage_with_a_large_task()
    (small,) = stage.submit(spec(run=COMMAND))
    stage.schedule()
    assert stage.ask(q.ExplainTask(large))["holds"] == [NODE]
    view = stage.ask(q.ExplainTask(small))
    assert (view["verdict"], view["change"], view["holds"]) == ("waiting", None, [])
    assert (
        view["summary"]
        == f"1 of 1 nodes could run it and have no room now; 1 of them held for {large}, waiting longer"
    )
    assert view["reasons"] == [{"dimension": "node", "kind": "waiting", "nodes": 1}]
    assert [wait["reason"] for wait in view["history"]] == [HELD]
    assert stage.ask(q.GetNode(NODE))["held_for"] == large
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
    stage.now += HOLD_AFTER_S
    stage.schedule()
    assert stage.liveness.holds != ()
    stage.give(o.CancelTask(last), ADMIN)
    stage.schedule()
    assert stage.liveness.holds == ()


def test_holds_can_be_turned_off_and_are_looked_for_once_a_second() -> None:
    """With 0 small ones always pass."""
    stage, _, _ = stage_with_a_large_task(Policy(hold_after_s=0.0))
    (small,) = stage.submit(spec(run=COMMAND))
    stage.schedule()
    assert stage.task(small).status == "running"
    stage, large, _ = stage_with_a_large_task()
    stage.schedule()
    assert stage.liveness.holds != ()
    stage.add_node(NODE_2, resources={"cpu": 2.0})
    stage.schedule()
    assert (stage.task(large).worker, stage.liveness.holds) == (NODE_2, ())
    stage.submit(spec(run=COMMAND))
    stage.schedule()
    (another,) = stage.submit(spec(run=COMMAND, resources={"cpu": 2}))
    stage.now += HOLD_AFTER_S
    stage.scheduler._hold_again_at = stage.now + 0.1
    stage.schedule()
    assert stage.liveness.holds == ()
    stage.now += 0.1
    stage.schedule()
    assert stage.liveness.holds != ()
    assert [hold.task_id for hold in stage.liveness.holds] == [another]


def test_when_things_end_as_far_as_anybody_can_tell() -> None:
    """By the average of the kind; unknown, or late already: as long again; short ones share a lane."""
    stage = Harmony()
    stage.add_node(resources={"cpu": 8.0})
    (known,) = stage.submit(spec(run=COMMAND))
    (unknown,) = stage.submit(spec(run=COMMAND, resources={"cpu": 3}))
    stage.schedule()
    stage.state.durations.note(stage.task(known).group[:3], 10.0)

    def expected() -> list[Ending]:
        return sorted(endings(stage.state, NODE, lambda group: 1, stage.now))

    began = stage.now
    ran = began - (stage.task(known).started_at or 0.0)
    assert expected() == [(10.0 - ran, ONE.demand), (UNMEASURED_S, asks(3.0).demand)]
    stage.now += 4.0
    assert expected()[0] == (6.0 - ran, ONE.demand)
    stage.now += 96.0
    assert expected() == [(100.0 + ran, ONE.demand), (100.0 + ran, asks(3.0).demand)]
    assert sorted(endings(stage.state, NODE, lambda group: 4, stage.now)) == [
        (0.05, ONE.demand),
        (0.05, asks(3.0).demand),
    ]
    assert list(endings(stage.state, "nobody", lambda group: 1, stage.now)) == []
    assert unknown != known


def test_only_the_tasks_owner_is_needed_to_read_it() -> None:
    """An explanation is for whoever may see the task."""
    stage, large, _ = stage_with_a_large_task()
    stage.schedule()
    assert stage.ask(q.ExplainTask(large), DEV)["holds"] == [NODE]
    assert stage.ask(q.ListNodes(), SYSTEM)["nodes"][0]["held_for"] == large
