"""Which executor gets which attempts: batches, losses, seats."""

from __future__ import annotations

from helix_ray.execution.assignment import Assignment
from helix_ray.execution.dispatch import BATCH_TASKS_MAX, Dispatch, Item, Seat

ONE = (("cpu", 1.0),)
GPU = (("gpu", 1.0),)


def item(name: str, demand: tuple[tuple[str, float], ...] = ONE, group: str = "g") -> Item:
    """Return an attempt of a task by name."""
    return Item(Assignment(name, 1, {"kind": "function"}, None, "/logs"), demand, group)


def seated(dispatch: Dispatch, seat_id: str, demand: tuple[tuple[str, float], ...] = ONE) -> Seat:
    """Open a seat whose executor has said hello."""
    dispatch.open_seat(seat_id, demand, 0.0)
    seat = dispatch.seat_ready(seat_id, 0.0)
    assert seat is not None
    return seat


def given(dispatch: Dispatch) -> dict[str, list[str]]:
    """Return what is handed out now, by seat."""
    return {seat.id: [a.task_id for a in batch] for seat, batch in dispatch.batches()}


def learn(dispatch: Dispatch, duration_s: float, group: str = "g") -> None:
    """Run one attempt through, so that the group's duration is known."""
    dispatch.add([item("first", group=group)])
    seat_id = next(iter(given(dispatch)))
    assert dispatch.ended(seat_id, ("first", 1), duration_s, 1.0) is not None


def test_work_of_unknown_duration_goes_out_one_at_a_time() -> None:
    """Nobody waits in line behind what may take long."""
    dispatch = Dispatch({"cpu": 2.0})
    seated(dispatch, "a")
    dispatch.add(item(f"t{i}") for i in range(5))
    assert given(dispatch) == {"a": ["t0"]}
    assert given(dispatch) == {}


def test_short_work_goes_out_in_batches_shared_between_seats() -> None:
    """Two seats get half each, up to the largest batch."""
    dispatch = Dispatch({"cpu": 2.0})
    seated(dispatch, "a")
    learn(dispatch, 0.00001)
    seated(dispatch, "b")
    dispatch.add(item(f"t{i}") for i in range(1000))
    sizes = {seat: len(tasks) for seat, tasks in given(dispatch).items()}
    assert sizes == {"a": BATCH_TASKS_MAX, "b": BATCH_TASKS_MAX}


def test_one_long_run_counts_at_once() -> None:
    """After a run that took far longer, the next goes out alone again."""
    dispatch = Dispatch({"cpu": 1.0})
    seated(dispatch, "a")
    learn(dispatch, 0.00001)
    learn(dispatch, 5.0)
    dispatch.add(item(f"t{i}") for i in range(5))
    assert given(dispatch) == {"a": ["t0"]}


def test_a_lost_executor_loses_what_it_ran_and_the_rest_goes_out_singly() -> None:
    """The first outstanding attempt is lost; those behind it are queued again, each alone."""
    dispatch = Dispatch({"cpu": 1.0})
    seated(dispatch, "a")
    learn(dispatch, 0.00001)
    dispatch.add(item(f"t{i}") for i in range(4))
    given(dispatch)
    running = dispatch.close_seat("a")
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
    seat = seated(dispatch, "a")
    dispatch.add([item("t0"), item("t1")])
    given(dispatch)
    assert dispatch.drop(("t0", 1)) is seat
    assert dispatch.drop(("t1", 1)) is None
    assert not dispatch.holds(("t1", 1))
    assert dispatch.drop(("unknown", 1)) is None
    assert dispatch.attempts() == [("t0", 1)]


def test_an_attempt_is_added_once() -> None:
    """What the control plane says twice is held once."""
    dispatch = Dispatch({"cpu": 1.0})
    dispatch.add([item("t0")])
    dispatch.add([item("t0")])
    seated(dispatch, "a")
    assert given(dispatch) == {"a": ["t0"]}
    assert dispatch.ended("a", ("t0", 1), None, 1.0) is not None
    assert dispatch.ended("a", ("t0", 1), None, 1.0) is None


def test_seats_are_wanted_up_to_what_the_node_has() -> None:
    """Three CPUs make three seats for five tasks; a demand that does not fit makes none."""
    dispatch = Dispatch({"cpu": 3.0})
    dispatch.add(item(f"t{i}") for i in range(5))
    dispatch.add([item("g", GPU)])
    assert dispatch.wanted() == [ONE] * 3


def test_idle_seats_are_given_back_in_time_or_when_they_are_in_the_way() -> None:
    """After the idle time, or at once when other work fits nowhere else."""
    dispatch = Dispatch({"cpu": 1.0})
    seat = seated(dispatch, "a")
    assert dispatch.surplus(10.0, 30.0) == []
    assert dispatch.surplus(31.0, 30.0) == [seat]
    half = (("cpu", 0.5),)
    dispatch.add([item("other", half)])
    assert dispatch.surplus(10.0, 30.0) == [seat]


def test_tasks_of_an_executor_that_never_comes_are_handed_back() -> None:
    """Other jobs may hold what it needs; while another seat of the demand lives, its tasks stay."""
    dispatch = Dispatch({"cpu": 2.0})
    dispatch.open_seat("late", ONE, 0.0)
    dispatch.add([item("t0")])
    assert dispatch.overdue(59.0, 60.0) == []
    (late,) = dispatch.overdue(61.0, 60.0)
    assert dispatch.hand_back(late.demand) == []
    assert dispatch.close_seat(late.id) is None
    assert [back.key for back in dispatch.hand_back(late.demand)] == [("t0", 1)]
    assert not dispatch.holds(("t0", 1))
