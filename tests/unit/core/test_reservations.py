"""Reservations for tasks that have waited long: on which nodes, against which tasks, and until when."""

from __future__ import annotations

from typing import Any

from helix_ray.core.placement import Fleet, Node, RunningAttempt
from helix_ray.core.placement.plan import NO_ROOM, RESERVED
from helix_ray.core.placement.reservation import AHEAD_S_MAX, PATIENCE_S_MIN, Ending, make_reservation
from helix_ray.core.placement.reservations import SEARCHES_MAX
from helix_ray.core.state import Quota, TaskClass, class_of
from helix_ray.core.waits import Reservation
from tests.unit.core.reserving import (
    FOUR,
    LARGE,
    NOW,
    OLD,
    ONE,
    SMALL,
    after_plans,
    asks,
    busy,
    ending,
    many_nodes,
    plan_of,
    three_of_four,
)
from tests.unit.core.stage import COMMAND, spec

HALF = class_of(spec(run=COMMAND, resources={"cpu": 1, "gpu": 0.5}))


def hold_on(
    nodes: list[Node], ends: dict[str, list[Ending]], task_class: TaskClass = FOUR, wanted: int = 1
) -> Any:
    fleet = Fleet(nodes, lambda task_class: 1)
    able = [node for node in fleet.open_nodes() if node.could_ever_run(task_class)]
    reservation = make_reservation(able, task_class, "t", wanted, lambda node_id: ends.get(node_id, []), NOW)
    return None if reservation is None else (reservation.nodes, reservation.until - NOW)


def test_the_node_that_has_room_first_is_reserved() -> None:
    """What counts is the last one to end there; nodes that are closed, too small, or others' are none."""
    ends = {"a": ending(1, 1, 1, 90), "b": ending(40, 41, 42, 43), "c": ending(2, 2, 2, 2)}
    assert hold_on([busy("a"), busy("b")], ends) == (("b",), 86.0)
    assert hold_on([busy("a"), busy("b"), busy("c")], ends) == (("c",), PATIENCE_S_MIN)
    unschedulable = busy("c", unschedulable="draining")
    assert hold_on([busy("a"), busy("b"), unschedulable], ends) == (("b",), 86.0)
    ends["c"] = ending(2, 2, 2)
    for c in (busy("c", 3, external_usage={"cpu": 1.0}), Node("c", {"cpu": 3.0}, load={ONE: 3})):
        assert hold_on([busy("a"), busy("b"), c], ends) == (("b",), 86.0)
    assert hold_on([busy("a")], {"a": ending(1, 1, 1)}) is None
    far = AHEAD_S_MAX + 1
    assert hold_on([busy("a")], {"a": ending(1, 1, 1, far)}) is None
    assert hold_on([busy("a"), busy("b")], {"a": ending(1, 1, 1, far), "b": ending(1, 1, 1, far - 1)}) == (
        ("b",),
        2 * AHEAD_S_MAX,
    )


def test_a_gang_is_reserved_as_many_nodes_as_it_needs() -> None:
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


def test_small_ones_are_kept_out_of_the_reserved_node_only() -> None:
    """Small tasks do not get the reserved node: they get the reason, and may use it in the next plan."""
    fleet = three_of_four()
    plan = plan_of(fleet, LARGE, SMALL, (ONE, "small-2", 1, NOW))
    assert plan.pairs == [("small", "b")]
    assert plan.blocked == {FOUR: NO_ROOM, ONE: RESERVED}
    assert [(reservation.task_id, reservation.nodes) for reservation in plan.reservations] == [
        ("large", ("a",))
    ]
    assert [node.unschedulable for node in fleet.nodes.values()] == ["", ""]
    assert plan_of(fleet, SMALL, reservations=plan.reservations).pairs == [("small", "a")]


def test_those_before_it_are_not() -> None:
    """A more urgent task takes the reserved node."""
    plan = plan_of(three_of_four(), LARGE, *[(ONE, f"urgent-{i}", 3, NOW) for i in range(2)])
    assert {node_id for _, node_id in plan.pairs} == {"a", "b"}


def test_nobody_is_reserved_for_who_has_not_waited_or_may_not_be() -> None:
    """There is no reservation before its time, where reservations are turned off, and for a task that would
    fit on no node even when all others have ended."""
    young = (FOUR, "large", 1, OLD + 1)
    huge = (asks(5.0), "huge", 1, OLD)
    for plan in (
        plan_of(three_of_four(), young, SMALL),
        plan_of(three_of_four(), LARGE, SMALL, reserve_after_s=None),
        plan_of(three_of_four(), huge, SMALL),
    ):
        assert plan.reservations == ()
        assert len(plan.pairs) == 1


def test_slots_that_have_begun_on_a_reserved_node_take_no_more() -> None:
    """Short tasks would go on behind each other there."""
    node = Node("a", {"cpu": 2.0}, load={ONE: 4})
    fleet = Fleet([node], lambda task_class: 3 if task_class == ONE else 1)
    two = asks(2.0)
    plan = plan_of(fleet, (two, "large", 1, OLD), SMALL, endings=lambda node_id: ending(0.05, 0.05))
    assert (plan.pairs, plan.blocked[ONE], plan.kept_out) == ([], RESERVED, {ONE: ("a",)})
    assert plan_of(fleet, SMALL).pairs == [("small", "a")]


def test_what_asks_for_something_else_passes() -> None:
    """Tasks that ask for the GPU of a node whose CPUs are reserved, and tasks that ask for nothing, are not
    affected."""
    fleet = Fleet([Node("a", {"cpu": 4.0, "gpu": 1.0}, load={ONE: 3})], lambda task_class: 1)
    gpu, nothing = class_of(spec(run=COMMAND, resources={"cpu": 0, "gpu": 1})), asks(0)
    plan = plan_of(fleet, LARGE, SMALL, (gpu, "g", 1, NOW), (nothing, "n", 1, NOW))
    assert sorted(plan.pairs) == [("g", "a"), ("n", "a")]
    assert plan.blocked[ONE] == RESERVED
    assert fleet.nodes["a"].free == {"cpu": 1.0, "gpu": 0.0}


def test_nothing_is_reserved_where_the_end_of_one_task_makes_the_room() -> None:
    """A backlog of tasks of one size starts one by one in any case; others may use
    what is left beside them."""
    fleet = Fleet([Node("a", {"cpu": 4.5}, load={ONE: 4})], lambda task_class: 1)
    half = asks(0.5)
    plan = plan_of(
        fleet, (ONE, "next", 1, OLD), (half, "small", 1, NOW), endings=lambda node_id: ending(5, 6, 7, 8)
    )
    assert (plan.pairs, plan.reservations, plan.in_vain) == ([("small", "a")], (), [ONE])
    # One that will not end soon does not count.
    service = Fleet([Node("a", {"cpu": 8.0}, load={FOUR: 1, ONE: 4})], lambda task_class: 1)
    ends = [*ending(5, 6, 7, 8), (AHEAD_S_MAX, FOUR.demand)]
    plan = plan_of(service, LARGE, endings=lambda node_id: ends)
    assert [reservation.nodes for reservation in plan.reservations] == [("a",)]


def test_one_for_whom_nothing_can_be_reserved_is_in_nobodys_way() -> None:
    """Nodes are searched for the next one, and for that class not again while it was in vain lately."""
    huge, large = (asks(5.0), "huge", 3, OLD), LARGE
    plan = plan_of(three_of_four(), huge, large, SMALL)
    assert (plan.in_vain, [reservation.task_id for reservation in plan.reservations]) == (
        [huge[0]],
        ["large"],
    )
    plan = plan_of(three_of_four(), huge, large, SMALL, unreservable={huge[0]})
    assert (plan.in_vain, [reservation.task_id for reservation in plan.reservations]) == ([], ["large"])
    plan = plan_of(three_of_four(), large, SMALL, may_search=False)
    assert (plan.searched, plan.reservations) == (False, ())
    many = [(asks(5.0 + i), f"huge-{i}", 3, OLD) for i in range(SEARCHES_MAX)]
    assert plan_of(three_of_four(), *many, large).reservations == ()


def test_an_urgent_task_may_take_reserved_room_and_stop_others_for_it() -> None:
    """The reservation is then reconsidered."""
    running = (Reservation(FOUR, "large", ("a",), NOW + 1),)
    boosted = (FOUR, "large", 3, OLD)
    urgent = (ONE, "urgent", 3, NOW)
    fleet = Fleet([busy("a", 3)], lambda task_class: 1)
    plan = plan_of(fleet, boosted, urgent, reservations=running, preempt_level=3)
    assert plan.pairs == [("urgent", "a")]
    assert [reservation.until for reservation in plan.reservations] == [NOW]
    assert fleet.nodes["a"].free == {"cpu": 0.0}
    fleet = Fleet([busy("a", 4)], lambda task_class: 1)
    victim = RunningAttempt("victim", 1, 0, 0.0, ONE)
    plan = plan_of(
        fleet, boosted, urgent, reservations=running, preempt_level=3, running=lambda node_id: (victim,)
    )
    assert (plan.pairs, plan.preempted) == ([("urgent", "a")], [("victim", 1)])
    assert fleet.nodes["a"].free == {"cpu": 0.0}


def test_a_reservation_stays_where_it_is() -> None:
    """Though another node would have room sooner now, and while others come that have waited as long."""
    running = Reservation(FOUR, "large", ("b",), NOW + 1)
    later = (asks(3.0), "third", 1, OLD)
    assert plan_of(three_of_four(), LARGE, SMALL, later, reservations=(running,)).reservations == (running,)
    # A class before it gets none beside it.
    older = (asks(3.0), "older", 1, OLD - 1)
    plan = plan_of(three_of_four(), older, LARGE, SMALL, reservations=(running,))
    assert (plan.reservations, plan.searched) == ((running,), False)


def test_a_reservation_is_thought_over() -> None:
    """After its time, and at once where a node of it is gone, is drained, or nobody of
    the class waits any more, or it would last too long because the clock was set back."""
    for reservation in (
        Reservation(FOUR, "large", ("b",), NOW),
        Reservation(FOUR, "large", ("b",), NOW + 2 * AHEAD_S_MAX + 1),
        Reservation(FOUR, "large", ("gone",), NOW + 1),
    ):
        plan = plan_of(three_of_four(), LARGE, reservations=(reservation,))
        assert [reservation.nodes for reservation in plan.reservations] == [("a",)]
        assert plan.searched
    drained = Fleet([busy("a", 3), busy("b", 3, unschedulable="draining")], lambda task_class: 1)
    plan = plan_of(drained, LARGE, reservations=(Reservation(FOUR, "large", ("b",), NOW + 1),))
    assert [reservation.nodes for reservation in plan.reservations] == [("a",)]
    other = asks(3.0)
    plan = plan_of(three_of_four(), LARGE, reservations=(Reservation(other, "went", ("b",), NOW + 1),))
    assert [reservation.task_class for reservation in plan.reservations] == [FOUR]


def test_what_is_left_of_a_gangs_reservation_is_kept_until_there_is_another() -> None:
    """One of its nodes is drained while nobody may search; a second later it has all again."""
    gang = FOUR._replace(gang="whole")
    shards = [(gang, f"whole-s{i}", 1, OLD) for i in range(2)]
    nodes = [busy("a", 3), busy("b", 3, unschedulable="draining"), busy("c", 3)]
    ends = {"endings": lambda node_id: ending(1, 2, 3)}
    running = Reservation(gang, "whole-s0", ("a", "b"), NOW + 1)
    fleet = Fleet(nodes, lambda task_class: 1)
    plan = plan_of(fleet, *shards, SMALL, reservations=(running,), may_search=False, **ends)
    assert [reservation.nodes for reservation in plan.reservations] == [("a",)]
    assert plan.pairs == [("small", "c")]
    plan = plan_of(
        Fleet([busy("a", 3), busy("c", 3)], lambda task_class: 1),
        *shards,
        reservations=plan.reservations,
        **ends,
    )
    assert [reservation.nodes for reservation in plan.reservations] == [("a", "c")]


def test_nobody_renews_a_reservation_before_those_who_wait_for_one() -> None:
    """A task that was refused because enough nodes are reserved is next, even while others of the class with
    the reservation are waiting."""
    three = asks(3.0)
    older = (three, "older", 1, OLD - 1)
    seconds = [(FOUR, f"large-{i}", 1, OLD) for i in range(2)]
    fleet = Fleet([busy("a", 0), busy("b", 3)], lambda task_class: 1)
    fleet.take(fleet.nodes["a"], asks(2.0), 1)
    running = Reservation(FOUR, "large-0", ("b",), NOW)
    plan = plan_of(fleet, older, *seconds, reservations=(running,))
    assert plan.reservations == ()
    plan = plan_of(fleet, older, *seconds)
    assert [reservation.task_class for reservation in plan.reservations] == [three]


def test_a_reservation_that_another_class_breaks_into_is_thought_over() -> None:
    """A more urgent task took the node: it is not the one that has room first any more, perhaps. Unless it
    asked for something else."""
    running = Reservation(FOUR, "large", ("a",), NOW + 100)
    urgent = (ONE, "urgent", 3, NOW)
    fleet = Fleet([busy("a", 3), busy("b", 4)], lambda task_class: 1)
    plan = plan_of(fleet, LARGE, urgent, reservations=(running,), may_search=False)
    assert (plan.pairs, [reservation.until for reservation in plan.reservations]) == (
        [("urgent", "a")],
        [NOW],
    )
    nothing = (asks(0), "nothing", 3, NOW)
    plan = plan_of(
        Fleet([busy("a", 3)], lambda task_class: 1), LARGE, nothing, reservations=(running,), may_search=False
    )
    assert (plan.pairs, plan.reservations) == ([("nothing", "a")], (running,))


def test_no_more_is_reserved_than_a_quota_lets_start() -> None:
    """One of three, where one more is allowed."""
    old = [(FOUR, f"large-{i}", 1, OLD) for i in range(3)]
    fleet, reservations = many_nodes(100), ()
    quotas = {FOUR.project: Quota({"cpu": 4.0 + fleet.slots[ONE]})}
    for _ in range(4):
        plan = plan_of(
            fleet, *old, reservations=reservations, quotas=quotas, endings=lambda node_id: ending(1, 2, 60)
        )
        reservations = plan.reservations
    assert [reservation.task_id for reservation in reservations] == ["large-0"]


def test_those_who_could_do_the_work_are_not_all_reserved() -> None:
    """Two nodes with GPUs among a hundred: one of them at most."""
    nodes = [busy(f"n{i:02}", 3) for i in range(100)]
    nodes += [Node(f"g{i}", {"cpu": 4.0, "gpu": 2.0}, load={HALF: 1}) for i in range(2)]
    wanted = class_of(spec(run=COMMAND, resources={"cpu": 1, "gpu": 2}))
    fleet, reservations = Fleet(nodes, lambda task_class: 1), ()
    for _ in range(4):
        plan = plan_of(
            fleet,
            *[(wanted, f"w{i}", 1, OLD) for i in range(3)],
            reservations=reservations,
            endings=lambda node_id: [(5.0, HALF.demand)],
        )
        reservations = plan.reservations
    assert len(reservations) == 1


def test_urgent_ones_of_a_class_do_not_undo_what_is_reserved_for_the_others() -> None:
    """All its levels count, in the order in which they go."""
    old = [(FOUR, f"large-{i}", 1, OLD) for i in range(2)]
    fleet = many_nodes(60)
    reservations = after_plans(fleet, 3, *old)
    assert [reservation.task_id for reservation in reservations] == ["large-0", "large-1"]
    plan = plan_of(fleet, *old, (FOUR, "urgent", 3, OLD), reservations=reservations, may_search=False)
    assert [(reservation.task_id, reservation.nodes) for reservation in plan.reservations] == [
        ("urgent", reservations[0].nodes),
        ("large-0", reservations[1].nodes),
    ]


def test_a_reservation_ends_when_its_task_starts() -> None:
    """On whichever node."""
    fleet = Fleet([busy("a", 3), busy("c", 0)], lambda task_class: 1)
    plan = plan_of(fleet, LARGE, SMALL, reservations=(Reservation(FOUR, "large", ("a",), NOW + 1),))
    assert plan.pairs == [("large", "c"), ("small", "a")]
    assert plan.reservations == ()


def test_a_plan_that_is_full_before_its_turn_keeps_it() -> None:
    """Nobody behind it was given anything either."""
    running = Reservation(FOUR, "large", ("a",), NOW + 1)
    urgent = [(ONE, f"urgent-{i}", 3, NOW) for i in range(2)]
    assert plan_of(three_of_four(), LARGE, *urgent, limit=1, reservations=(running,)).reservations == (
        running,
    )


def test_one_node_in_twenty_may_be_reserved() -> None:
    """A task each, the first come first; none for those that have not waited as long."""
    old = [(FOUR, f"large-{i}", 1, OLD) for i in range(4)]
    reservations = after_plans(many_nodes(60), 5, *old)
    assert [reservation.task_id for reservation in reservations] == ["large-0", "large-1", "large-2"]
    assert len({node_id for reservation in reservations for node_id in reservation.nodes}) == 3
    assert len(after_plans(many_nodes(60), 5, old[0], (FOUR, "young", 1, NOW))) == 1
    three = asks(3.0)
    reservations = after_plans(many_nodes(60), 5, (FOUR, "four", 1, OLD), (three, "three", 1, OLD + 1))
    assert [reservation.task_class for reservation in reservations] == [FOUR]
    reservations = after_plans(many_nodes(60), 5, (FOUR, "four", 1, OLD - 1), (three, "three", 1, OLD))
    assert [reservation.task_class for reservation in reservations] == [FOUR, three]


def test_a_gang_may_have_more_and_then_has_all() -> None:
    """A gang's reservation is all or nothing; beside another reservation it must keep within the limit."""
    gang = FOUR._replace(gang="whole")
    shards = [(gang, f"whole-s{i}", 1, OLD) for i in range(4)]
    reservations = after_plans(many_nodes(40), 3, *shards, (FOUR, "large", 1, OLD))
    assert [(reservation.task_id, len(reservation.nodes)) for reservation in reservations] == [
        ("whole-s0", 4)
    ]
    reservations = after_plans(many_nodes(40), 3, (FOUR, "large", 1, OLD - 1), *shards)
    assert [(reservation.task_id, len(reservation.nodes)) for reservation in reservations] == [("large", 1)]
    reservations = after_plans(many_nodes(100), 3, (FOUR, "large", 1, OLD - 1), *shards)
    assert [(reservation.task_id, len(reservation.nodes)) for reservation in reservations] == [
        ("large", 1),
        ("whole-s0", 4),
    ]


def test_a_class_that_is_kept_out_keeps_what_is_reserved_for_it() -> None:
    """Three CPUs would fit on the node that is reserved for four; the class has its own reservation on
    another node."""
    three = asks(3.0)
    fleet = Fleet([busy("a", 1), busy("b", 3)], lambda task_class: 1)
    reservations = (Reservation(FOUR, "large", ("a",), NOW + 1), Reservation(three, "third", ("b",), NOW + 1))
    plan = plan_of(fleet, (FOUR, "large", 1, OLD - 1), (three, "third", 1, OLD), reservations=reservations)
    assert (plan.pairs, plan.blocked[three], plan.reservations) == ([], RESERVED, reservations)


def test_a_node_is_given_up_where_one_of_the_class_begins() -> None:
    """The next task of the class gets another reservation when it has waited long enough."""
    fleet = Fleet([busy("a", 0), busy("b", 3)], lambda task_class: 1)
    young = (FOUR, "young", 1, NOW)
    plan = plan_of(fleet, LARGE, young, SMALL, reservations=(Reservation(FOUR, "large", ("a",), NOW + 1),))
    assert plan.pairs == [("large", "a"), ("small", "b")]
    assert plan.reservations == ()
