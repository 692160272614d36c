"""Which executor gets which attempts: batches, losses, slots."""

from __future__ import annotations

from helix_ray.execution.assignment import Assignment
from helix_ray.execution.dispatch import BATCH_TASKS_MAX, YIELD_S, Dispatch
from helix_ray.execution.slots import STUCK_S, Item, Need, Slot, Stuck
from helix_ray.execution.tenant import Tenant, tenant_of

ONE = (("cpu", 1.0),)
GPU = (("gpu", 1.0),)


def item(name: str, demand: tuple[tuple[str, float], ...] = ONE, group: str = "g") -> Item:
    """Return an attempt of a task by name."""
    work = Assignment(name, 1, {"kind": "function"}, None, "/logs")
    return Item(assignment=work, demand=demand, group=group)


def ready_slot(dispatch: Dispatch, slot_id: str, demand: tuple[tuple[str, float], ...] = ONE) -> Slot:
    """Open a slot whose executor has said hello."""
    dispatch.open_slot(slot_id, Need(demand, None), 0.0)
    slot = dispatch.slot_ready(slot_id, 0.0)
    assert slot is not None
    return slot


def demands(dispatch: Dispatch) -> list[tuple[tuple[str, float], ...]]:
    """Return the demands of the executors that are worth starting."""
    return [need.demand for need in dispatch.wanted()]


def given(dispatch: Dispatch) -> dict[str, list[str]]:
    """Return what is handed out now, by slot."""
    return {slot.id: [a.task_id for a in batch] for slot, batch in dispatch.batches(0.0)}


def learn(dispatch: Dispatch, duration_s: float, group: str = "g") -> None:
    """Run one attempt through, so that the group's duration is known."""
    dispatch.add([item("first", group=group)], 0.0)
    slot_id = next(iter(given(dispatch)))
    assert dispatch.ended(slot_id, ("first", 1), duration_s, 1.0) is not None


def test_work_of_unknown_duration_goes_out_one_at_a_time() -> None:
    """Nobody waits in line behind what may take long."""
    dispatch = Dispatch({"cpu": 2.0})
    ready_slot(dispatch, "a")
    dispatch.add((item(f"t{i}") for i in range(5)), 0.0)
    assert given(dispatch) == {"a": ["t0"]}
    assert given(dispatch) == {}


def test_short_work_goes_out_in_batches_shared_between_slots() -> None:
    """Two slots get half each, up to the largest batch."""
    dispatch = Dispatch({"cpu": 2.0})
    ready_slot(dispatch, "a")
    learn(dispatch, 0.00001)
    ready_slot(dispatch, "b")
    dispatch.add((item(f"t{i}") for i in range(1000)), 0.0)
    sizes = {slot: len(tasks) for slot, tasks in given(dispatch).items()}
    assert sizes == {"a": BATCH_TASKS_MAX, "b": BATCH_TASKS_MAX}


def test_one_long_run_counts_at_once() -> None:
    """After a run that took far longer, the next goes out alone again."""
    dispatch = Dispatch({"cpu": 1.0})
    ready_slot(dispatch, "a")
    learn(dispatch, 0.00001)
    learn(dispatch, 5.0)
    dispatch.add((item(f"t{i}") for i in range(5)), 0.0)
    assert given(dispatch) == {"a": ["t0"]}


def test_a_lost_executor_loses_what_it_ran_and_the_rest_goes_out_singly() -> None:
    """The first outstanding attempt is lost; those behind it are queued again, each alone."""
    dispatch = Dispatch({"cpu": 1.0})
    ready_slot(dispatch, "a")
    learn(dispatch, 0.00001)
    dispatch.add((item(f"t{i}") for i in range(4)), 0.0)
    given(dispatch)
    running = dispatch.close_slot("a")
    assert running is not None
    assert running.key == ("t0", 1)
    assert not dispatch.holds(("t0", 1))
    ready_slot(dispatch, "b")
    assert given(dispatch) == {"b": ["t1"]}
    assert dispatch.ended("b", ("t1", 1), 0.00001, 2.0) is not None
    assert given(dispatch) == {"b": ["t2"]}


def test_a_queued_attempt_can_be_dropped_and_one_given_out_names_its_slot() -> None:
    """A revocation finds an attempt wherever it is."""
    dispatch = Dispatch({"cpu": 1.0})
    slot = ready_slot(dispatch, "a")
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
    ready_slot(dispatch, "a")
    assert given(dispatch) == {"a": ["t0"]}
    assert dispatch.ended("a", ("t0", 1), None, 1.0) is not None
    assert dispatch.ended("a", ("t0", 1), None, 1.0) is None


def test_slots_are_wanted_up_to_what_the_node_has() -> None:
    """Three CPUs make three slots for five tasks; a demand that does not fit makes none."""
    dispatch = Dispatch({"cpu": 3.0})
    dispatch.add((item(f"t{i}") for i in range(5)), 0.0)
    dispatch.add([item("g", GPU)], 0.0)
    assert demands(dispatch) == [ONE] * 3


def test_a_slot_that_needs_a_whole_device_is_not_opened_over_shares() -> None:
    """Idle slots that share devices are in its way, and given back at once."""
    shared, whole = (("gpu", 0.6),), (("gpu", 1.0),)
    dispatch = Dispatch({"gpu": 2.0})
    slots = [ready_slot(dispatch, slot_id, shared) for slot_id in ("a", "b")]
    dispatch.add([item("t0", whole)], 0.0)
    assert demands(dispatch) == []
    assert dispatch.surplus(0.0, 30.0) == slots
    dispatch.close_slot("a")
    assert demands(dispatch) == [whole]


def test_idle_slots_are_given_back_in_time_or_when_they_are_in_the_way() -> None:
    """After the idle time, or at once when other work fits nowhere else."""
    dispatch = Dispatch({"cpu": 1.0})
    slot = ready_slot(dispatch, "a")
    assert dispatch.surplus(10.0, 30.0) == []
    assert dispatch.surplus(31.0, 30.0) == [slot]
    half = (("cpu", 0.5),)
    dispatch.add([item("other", half)], 0.0)
    assert dispatch.surplus(10.0, 30.0) == [slot]


def test_an_idle_slot_is_in_the_way_of_work_that_waits_behind_long_attempts() -> None:
    """A slot of the demand is no help while what it runs does not end; one that is about
    to be free is waited for."""
    dispatch = Dispatch({"cpu": 2.0})
    idle = ready_slot(dispatch, "small", (("cpu", 0.5),))
    ready_slot(dispatch, "busy")
    dispatch.add((item(f"t{i}") for i in range(2)), 0.0)
    assert given(dispatch) == {"busy": ["t0"]}
    assert demands(dispatch) == []
    assert dispatch.surplus(STUCK_S / 2, 30.0) == []
    assert dispatch.surplus(STUCK_S, 30.0) == [idle]
    dispatch.close_slot(idle.id)
    assert demands(dispatch) == [ONE]


def test_further_slots_are_opened_only_in_what_others_leave() -> None:
    """One may wait until they let go; a second one would hide what they use, as what is
    asked for counts as ours."""
    dispatch = Dispatch({"cpu": 2.0, "gpu": 1.0})
    dispatch.external_usage = (("cpu", 1.5),)
    dispatch.add((item(f"t{i}") for i in range(2)), 0.0)
    dispatch.add([item("g", GPU)], 0.0)
    assert demands(dispatch) == [ONE, GPU]
    ready_slot(dispatch, "a")
    ready_slot(dispatch, "b", GPU)
    given(dispatch)
    assert demands(dispatch) == []
    dispatch.external_usage = ()
    assert demands(dispatch) == [ONE]


def test_tasks_of_an_executor_that_never_comes_are_handed_back() -> None:
    """Other jobs may hold what it needs; while another slot of the demand lives, its tasks stay."""
    dispatch = Dispatch({"cpu": 2.0})
    dispatch.open_slot("late", Need(ONE, None), 0.0)
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


def test_what_a_slot_was_given_behind_a_surprise_is_asked_back() -> None:
    """A batch of short work whose first attempt does not end: the others are told, and leave."""
    dispatch = Dispatch({"cpu": 1.0})
    slot = ready_slot(dispatch, "a")
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
    """One slot that moves on is enough for all to stay."""
    dispatch = Dispatch({"cpu": 2.0})
    for slot_id in ("a", "b"):
        ready_slot(dispatch, slot_id)
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


def test_work_without_a_slot_is_handed_back_unless_one_is_about_to_be_free() -> None:
    """Slots of another demand fill the node; one that was told to stop is waited for."""
    half = (("cpu", 0.5),)
    dispatch = Dispatch({"cpu": 1.0})
    ready_slot(dispatch, "a")
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
    slot = ready_slot(dispatch, "a")
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
    ready_slot(dispatch, "a")
    learn(dispatch, 0.001)
    dispatch.add((item(f"t{i}") for i in range(4)), 0.0)
    assert dispatch.batches(0.0)
    assert dispatch.stuck(STUCK_S).slots
    dispatch.returned("a", [(f"t{i}", 1) for i in range(1, 4)])
    dispatch.ended("a", ("t0", 1), None, 2.0)
    dispatch.add((item(f"u{i}") for i in range(4)), 2.0)
    assert given(dispatch) == {"a": ["u0"]}


def owned(name: str, owner: str, *, fresh: bool = False, kind: str = "function") -> Item:
    """Return an attempt of an owner's task."""
    work = Assignment(name, 1, {"kind": kind, "fresh": fresh}, None, "/logs")
    return Item(assignment=work, demand=ONE, group=owner, tenant=tenant_of(work, owner))


def test_an_executor_serves_the_owner_of_its_first_function_only() -> None:
    """Another owner's function waits for an executor of its own, which is started where there is room."""
    dispatch = Dispatch({"cpu": 2.0})
    ready_slot(dispatch, "a")
    dispatch.add([owned("t0", "ann")], 0.0)
    assert given(dispatch) == {"a": ["t0"]}
    dispatch.ended("a", ("t0", 1), 0.001, 0.0)
    dispatch.add([owned("t1", "ben"), owned("t2", "ann")], 0.0)
    assert given(dispatch) == {"a": ["t2"]}
    assert dispatch.wanted() == [Need(ONE, Tenant("ben"))]


def test_an_idle_executor_of_another_owner_makes_room() -> None:
    """It is released at once; what it could run does not wait."""
    dispatch = Dispatch({"cpu": 1.0})
    slot = ready_slot(dispatch, "a")
    dispatch.add([owned("t0", "ann")], 0.0)
    given(dispatch)
    dispatch.ended("a", ("t0", 1), 0.001, 0.0)
    dispatch.add([owned("t1", "ben")], 0.0)
    assert given(dispatch) == {}
    assert dispatch.wanted() == []
    assert dispatch.surplus(0.0, 30.0) == [slot]
    dispatch.close_slot("a")
    assert dispatch.wanted() == [Need(ONE, Tenant("ben"))]


def test_as_many_idle_executors_are_released_as_make_room() -> None:
    """The ones idle for longest go; the rest stay warm for their owner."""
    dispatch = Dispatch({"cpu": 4.0})
    slots = [ready_slot(dispatch, name) for name in "abcd"]
    dispatch.add([owned(f"t{i}", "ann") for i in range(4)], 0.0)
    for slot, (batch,) in dispatch.batches(0.0):
        dispatch.ended(slot.id, (batch.task_id, 1), 0.001, 10.0 - slots.index(slot))
    dispatch.add([owned("t4", "ben")], 10.0)
    assert dispatch.surplus(10.0, 30.0) == slots[3:]
    dispatch.add([owned("t5", "ben")], 10.0)
    assert dispatch.surplus(10.0, 30.0) == slots[2:]
    dispatch.add([owned(f"t{i}", "ben") for i in range(6, 12)], 10.0)
    assert dispatch.surplus(10.0, 30.0) == slots


def test_a_busy_executor_yields_to_an_owner_who_has_waited() -> None:
    """A stream of one owner's short work does not keep another owner out."""
    dispatch = Dispatch({"cpu": 1.0})
    slot = ready_slot(dispatch, "a")
    dispatch.add([owned("t0", "ann")], 0.0)
    given(dispatch)
    dispatch.ended("a", ("t0", 1), 0.001, 0.0)
    dispatch.add([owned("other", "ben")], 0.0)
    dispatch.add([owned("t1", "ann"), owned("t2", "ann")], YIELD_S / 2)
    assert [slot.id for slot, _ in dispatch.batches(YIELD_S / 2)] == ["a"]
    dispatch.add([owned("t3", "ann")], YIELD_S)
    assert dispatch.batches(YIELD_S) == []
    assert dispatch.stuck(YIELD_S) == Stuck()
    for name in ("t1", "t2"):
        dispatch.ended("a", (name, 1), 0.001, YIELD_S)
    assert dispatch.batches(YIELD_S) == []
    assert dispatch.surplus(YIELD_S, 30.0) == [slot]


def test_commands_go_to_any_executor_and_make_nobody_its_tenant() -> None:
    """They run beside it, in processes of their own."""
    dispatch = Dispatch({"cpu": 1.0})
    slot = ready_slot(dispatch, "a")
    for number, owner in enumerate(("ann", "ben")):
        dispatch.add([owned(f"c{number}", owner, kind="command")], 0.0)
        assert given(dispatch) == {"a": [f"c{number}"]}
        dispatch.ended("a", (f"c{number}", 1), 0.001, 0.0)
    assert slot.tenant is None
    dispatch.add([owned("t0", "ann")], 0.0)
    assert given(dispatch) == {"a": ["t0"]}
    dispatch.ended("a", ("t0", 1), 0.001, 0.0)
    dispatch.add([owned("c2", "ben", kind="command")], 0.0)
    assert given(dispatch) == {"a": ["c2"]}


def test_owners_share_an_executor_for_inference_until_it_runs_code() -> None:
    """An executor of models takes everybody's, and nobody's functions; an owner's takes his models, too."""
    dispatch = Dispatch({"cpu": 2.0})
    ready_slot(dispatch, "a")
    for number, owner in enumerate(("ann", "ben")):
        dispatch.add([owned(f"i{number}", owner, kind="inference")], 0.0)
        assert given(dispatch) == {"a": [f"i{number}"]}
        dispatch.ended("a", (f"i{number}", 1), 0.001, 0.0)
    dispatch.add([owned("t0", "ann")], 0.0)
    assert given(dispatch) == {}
    (need,) = dispatch.wanted()
    dispatch.open_slot("b", need, 0.0)
    dispatch.slot_ready("b", 0.0)
    assert given(dispatch) == {"b": ["t0"]}
    dispatch.close_slot("a")
    dispatch.ended("b", ("t0", 1), 0.001, 0.0)
    dispatch.add([owned("i2", "ann", kind="inference"), owned("i3", "ben", kind="inference")], 0.0)
    assert given(dispatch) == {"b": ["i2"]}


def test_a_fresh_process_runs_one_function_and_nothing_before_or_after() -> None:
    """A process that has run nothing may serve it; it is released when its one attempt has ended."""
    dispatch = Dispatch({"cpu": 2.0})
    used = ready_slot(dispatch, "a")
    dispatch.add([owned("t0", "ann")], 0.0)
    given(dispatch)
    dispatch.ended("a", ("t0", 1), 0.001, 0.0)
    dispatch.add([owned("new", "ann", fresh=True)], 0.0)
    assert given(dispatch) == {}
    (need,) = dispatch.wanted()
    assert need == Need(ONE, Tenant("ann", ("new", 1)))
    dispatch.open_slot("b", need, 0.0)
    dispatch.slot_ready("b", 0.0)
    assert given(dispatch) == {"b": ["new"]}
    assert dispatch.surplus(0.0, 30.0) == []
    dispatch.ended("b", ("new", 1), 0.001, 0.0)
    dispatch.add([owned("t1", "ann"), owned("c0", "ann", kind="command")], 0.0)
    assert "b" not in given(dispatch)
    assert dispatch.surplus(0.0, 30.0) == [dispatch.slots["b"]]
    assert used.tenant == Tenant("ann")
