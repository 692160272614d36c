"""Which executor gets which attempts: batches, losses, slots."""

from __future__ import annotations

from helix_ray.execution.assignment import Assignment
from helix_ray.execution.dispatch import BATCH_TASKS_MAX, STUCK_S, Dispatch, Item, Slot, Stuck

ONE = (("cpu", 1.0),)
GPU = (("gpu", 1.0),)


def item(name: str, demand: tuple[tuple[str, float], ...] = ONE, group: str = "g") -> Item:
    """Return an attempt of a task by name."""
    return Item(Assignment(name, 1, {"kind": "function"}, None, "/logs"), demand, group)


def seated(dispatch: Dispatch, slot_id: str, demand: tuple[tuple[str, float], ...] = ONE) -> Slot:
    """Open a seat whose executor has said hello."""
    dispatch.open_slot(slot_id, demand, 0.0)
    slot = dispatch.slot_ready(slot_id, 0.0)
    assert slot is not None
    return slot


def given(dispatch: Dispatch) -> dict[str, list[str]]:
    """Return what is handed out now, by seat."""
    return {slot.id: [a.task_id for a in batch] for slot, batch in dispatch.batches(0.0)}


def learn(dispatch: Dispatch, duration_s: float, group: str = "g") -> None:
    """Run one attempt through, so that the group's duration is known."""
    dispatch.add([item("first", group=group)], 0.0)
    slot_id = next(iter(given(dispatch)))
    assert dispatch.ended(slot_id, ("first", 1), duration_s, 1.0) is not None


def test_work_of_unknown_duration_goes_out_one_at_a_time() -> None:
    """Nobody waits in line behind what may take long."""
    dispatch = Dispatch({"cpu": 2.0})
    seated(dispatch, "a")
    dispatch.add((item(f"t{i}") for i in range(5)), 0.0)
    assert given(dispatch) == {"a": ["t0"]}
    assert given(dispatch) == {}


def test_short_work_goes_out_in_batches_shared_between_seats() -> None:
    """Two slots get half each, up to the largest batch."""
    dispatch = Dispatch({"cpu": 2.0})
    seated(dispatch, "a")
    learn(dispatch, 0.00001)
    seated(dispatch, "b")
    dispatch.add((item(f"t{i}") for i in range(1000)), 0.0)
    sizes = {slot: len(tasks) for slot, tasks in given(dispatch).items()}
    assert sizes == {"a": BATCH_TASKS_MAX, "b": BATCH_TASKS_MAX}


def test_one_long_run_counts_at_once() -> None:
    """After a run that took far longer, the next goes out alone again."""
    dispatch = Dispatch({"cpu": 1.0})
    seated(dispatch, "a")
    learn(dispatch, 0.00001)
    learn(dispatch, 5.0)
    dispatch.add((item(f"t{i}") for i in range(5)), 0.0)
    assert given(dispatch) == {"a": ["t0"]}


def test_a_lost_executor_loses_what_it_ran_and_the_rest_goes_out_singly() -> None:
    """The first outstanding attempt is lost; those behind it are queued again, each alone."""
    dispatch = Dispatch({"cpu": 1.0})
    seated(dispatch, "a")
    learn(dispatch, 0.00001)
    dispatch.add((item(f"t{i}") for i in range(4)), 0.0)
    given(dispatch)
    running = dispatch.close_slot("a")
    assert running is not None
    assert running.key == ("t0", 1)
    assert not dispatch.holds(("t0", 1))
    seated(dispatch, "b")
    assert given(dispatch) == {"b": ["t1"]}
    assert dispatch.ended("b", ("t1", 1), 0.00001, 2.0) is not None
    assert given(dispatch) == {"b": ["t2"]}


def test_a_queued_attempt_can_be_dropped_and_one_given_out_names_its_seat() -> None:
    """A revocation finds an attempt wherever it is."""
    dispatch = Dispatch({"cpu": 1.0})
    slot = seated(dispatch, "a")
    dispatch.add([item("t0"), item("t1")], 0.0)
    given(dispatch)
    assert dispatch.drop(("t0", 1)) is slot
    assert dispatch.drop(("t1", 1)) is None
    assert not dispatch.holds(("t1", 1))
    assert dispatch.drop(("unknown", 1)) is None
    assert dispatch.attempts() == [("t0", 1)]


def test_an_attempt_is_added_once() -> None:
    """What the control plane says twice is held once."""
    dispatch = Dispatch({"cpu": 1.0})
    dispatch.add([item("t0")], 0.0)
    dispatch.add([item("t0")], 0.0)
    seated(dispatch, "a")
    assert given(dispatch) == {"a": ["t0"]}
    assert dispatch.ended("a", ("t0", 1), None, 1.0) is not None
    assert dispatch.ended("a", ("t0", 1), None, 1.0) is None


def test_seats_are_wanted_up_to_what_the_node_has() -> None:
    """Three CPUs make three slots for five tasks; a demand that does not fit makes none."""
    dispatch = Dispatch({"cpu": 3.0})
    dispatch.add((item(f"t{i}") for i in range(5)), 0.0)
    dispatch.add([item("g", GPU)], 0.0)
    assert dispatch.wanted() == [ONE] * 3


def test_a_seat_that_needs_a_whole_device_is_not_opened_over_shares() -> None:
    """Idle slots that share devices are in its way, and given back at once."""
    shared, whole = (("gpu", 0.6),), (("gpu", 1.0),)
    dispatch = Dispatch({"gpu": 2.0})
    slots = [seated(dispatch, slot_id, shared) for slot_id in ("a", "b")]
    dispatch.add([item("t0", whole)], 0.0)
    assert dispatch.wanted() == []
    assert dispatch.surplus(0.0, 30.0) == slots
    dispatch.close_slot("a")
    assert dispatch.wanted() == [whole]


def test_idle_seats_are_given_back_in_time_or_when_they_are_in_the_way() -> None:
    """After the idle time, or at once when other work fits nowhere else."""
    dispatch = Dispatch({"cpu": 1.0})
    slot = seated(dispatch, "a")
    assert dispatch.surplus(10.0, 30.0) == []
    assert dispatch.surplus(31.0, 30.0) == [slot]
    half = (("cpu", 0.5),)
    dispatch.add([item("other", half)], 0.0)
    assert dispatch.surplus(10.0, 30.0) == [slot]


def test_an_idle_seat_is_in_the_way_of_work_that_waits_behind_long_attempts() -> None:
    """A seat of the demand is no help while what it runs does not end; one that is about
    to be free is waited for."""
    dispatch = Dispatch({"cpu": 2.0})
    idle = seated(dispatch, "small", (("cpu", 0.5),))
    seated(dispatch, "busy")
    dispatch.add((item(f"t{i}") for i in range(2)), 0.0)
    assert given(dispatch) == {"busy": ["t0"]}
    assert dispatch.wanted() == []
    assert dispatch.surplus(STUCK_S / 2, 30.0) == []
    assert dispatch.surplus(STUCK_S, 30.0) == [idle]
    dispatch.close_slot(idle.id)
    assert dispatch.wanted() == [ONE]


def test_further_seats_are_opened_only_in_what_others_leave() -> None:
    """One may wait until they let go; a second one would hide what they use, as what is
    asked for counts as ours."""
    dispatch = Dispatch({"cpu": 2.0, "gpu": 1.0})
    dispatch.external_usage = (("cpu", 1.5),)
    dispatch.add((item(f"t{i}") for i in range(2)), 0.0)
    dispatch.add([item("g", GPU)], 0.0)
    assert dispatch.wanted() == [ONE, GPU]
    seated(dispatch, "a")
    seated(dispatch, "b", GPU)
    given(dispatch)
    assert dispatch.wanted() == []
    dispatch.external_usage = ()
    assert dispatch.wanted() == [ONE]


def test_tasks_of_an_executor_that_never_comes_are_handed_back() -> None:
    """Other jobs may hold what it needs; while another seat of the demand lives, its tasks stay."""
    dispatch = Dispatch({"cpu": 2.0})
    dispatch.open_slot("late", ONE, 0.0)
    dispatch.add([item("t0")], 0.0)
    assert dispatch.overdue(59.0, 60.0) == []
    (late,) = dispatch.overdue(61.0, 60.0)
    assert dispatch.hand_back(late.demand) == []
    assert dispatch.close_slot(late.id) is None
    assert [back.key for back in dispatch.hand_back(late.demand)] == [("t0", 1)]
    assert not dispatch.holds(("t0", 1))


def names(items: list[Item]) -> list[str]:
    """Return the tasks of attempts."""
    return [back.key[0] for back in items]


def test_what_a_seat_was_given_behind_a_surprise_is_asked_back() -> None:
    """A batch of short work whose first attempt does not end: the others are told, and leave."""
    dispatch = Dispatch({"cpu": 1.0})
    slot = seated(dispatch, "a")
    learn(dispatch, 0.001)
    dispatch.add((item(f"t{i}") for i in range(4)), 5.0)
    assert len(dispatch.batches(5.0)) == 1
    assert dispatch.stuck(5.0 + STUCK_S / 2) == Stuck()
    stuck = dispatch.stuck(5.0 + STUCK_S)
    assert (stuck.items, stuck.slots) == ([], [slot])
    assert [(long.key[0], ran_s) for long, ran_s in stuck.outlasting] == [("t0", STUCK_S)]
    assert names(dispatch.returned("a", [("t1", 1), ("t2", 1), ("t3", 1), ("t9", 1)])) == ["t1", "t2", "t3"]
    assert dispatch.attempts() == [("t0", 1)]
    assert dispatch.stuck(9.0) == Stuck()
    assert dispatch.returned("gone", [("t0", 1)]) == []


def test_what_is_queued_behind_a_surprise_is_handed_back_once_it_has_waited() -> None:
    """One seat that moves on is enough for all to stay."""
    dispatch = Dispatch({"cpu": 2.0})
    for slot_id in ("a", "b"):
        seated(dispatch, slot_id)
    dispatch.add([item("t0"), item("t1"), item("t2")], 0.0)
    assert len(dispatch.batches(0.0)) == 2
    dispatch.ended("b", ("t1", 1), None, 2.0)
    assert dispatch.batches(2.0)
    dispatch.add([item("t3")], 2.5)
    assert dispatch.stuck(2.9) == Stuck()
    assert dispatch.stuck(3.2) == Stuck()
    stuck = dispatch.stuck(3.5)
    assert (names(stuck.items), stuck.slots) == (["t3"], [])
    assert [(long.key[0], ran_s) for long, ran_s in stuck.outlasting] == [("t0", 3.5)]
    assert not dispatch.holds(("t3", 1))


def test_work_without_a_seat_is_handed_back_unless_one_is_about_to_be_free() -> None:
    """Seats of another demand fill the node; one that was told to stop is waited for."""
    half = (("cpu", 0.5),)
    dispatch = Dispatch({"cpu": 1.0})
    seated(dispatch, "a")
    dispatch.add([item("t0")], 0.0)
    assert dispatch.batches(0.0)
    dispatch.add([item("other", half, "h")], 0.5)
    assert dispatch.stuck(1.4) == Stuck()
    assert names(dispatch.stuck(1.5).items) == ["other"]
    dispatch.add([item("other", half, "h")], 2.0)
    assert dispatch.drop(("t0", 1)) is not None
    assert dispatch.stuck(9.0) == Stuck()


def test_an_attempt_that_is_looked_up_is_not_about_to_end() -> None:
    """Only one that was told to stop is."""
    dispatch = Dispatch({"cpu": 1.0})
    slot = seated(dispatch, "a")
    dispatch.add([item("t0"), item("t1")], 0.0)
    assert dispatch.batches(0.0)
    assert dispatch.slot_of(("t0", 1)) is slot
    assert dispatch.slot_of(("t1", 1)) is None
    assert slot.slow(STUCK_S)
    dispatch.drop(("t0", 1))
    assert not slot.slow(STUCK_S)


def test_a_node_learns_from_its_surprises() -> None:
    """What outlasted its kind once is not followed by a batch of that kind."""
    dispatch = Dispatch({"cpu": 1.0})
    seated(dispatch, "a")
    learn(dispatch, 0.001)
    dispatch.add((item(f"t{i}") for i in range(4)), 0.0)
    assert dispatch.batches(0.0)
    assert dispatch.stuck(STUCK_S).slots
    dispatch.returned("a", [(f"t{i}", 1) for i in range(1, 4)])
    dispatch.ended("a", ("t0", 1), None, 2.0)
    dispatch.add((item(f"u{i}") for i in range(4)), 2.0)
    assert given(dispatch) == {"a": ["u0"]}
