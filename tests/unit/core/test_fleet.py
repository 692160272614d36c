"""The fleet's index: what changes is seen, what is gone is not, and its log stays short."""

from __future__ import annotations

import pytest

from helix_ray.core import waits
from helix_ray.core.access import SYSTEM
from helix_ray.core.durations import Durations
from helix_ray.core.lifecycle import Status
from helix_ray.core.liveness import Liveness
from helix_ray.core.orders import DrainWorker, LoseWorker, RemoveLostWorkers
from helix_ray.core.placement import STRATEGIES, Fleet, Node, Rules, fleet, place
from helix_ray.core.placement import tracked as tracked_module
from helix_ray.core.placement.estimate import completion, queued_ahead, remaining_s, when_free
from helix_ray.core.placement.fit import unschedulable_why
from helix_ray.core.placement.node import prefetch_by, prefetch_for
from helix_ray.core.placement.tracked import TrackedFleet
from helix_ray.core.policy import Policy
from helix_ray.core.ready_queue import ReadyQueue
from helix_ray.core.state import Task, TaskClass, Worker, class_of
from helix_ray.core.waits import GAP_S, WaitLog
from helix_ray.followers.base import News
from helix_ray.followers.scheduler import Scheduler
from tests.unit.core.scheduled_stage import ScheduledStage
from tests.unit.core.stage import ADMIN, COMMAND, NODE, NODE_2, Stage, spec

CLASS = class_of(spec(run=COMMAND))
BALANCED = STRATEGIES["load_balanced"]
FUNCTION = {"kind": "function", "function": "helix_ray.samples:noop"}


def one_each(task_class: TaskClass) -> int:
    return 1


def test_a_node_that_is_gone_is_chosen_no_more() -> None:
    """Nor counted; one that replaces it is another node."""
    nodes = Fleet([Node("a", {"cpu": 2.0}), Node("b", {"cpu": 1.0}, load={CLASS: 1})], one_each)
    assert nodes.totals == {"cpu": 3.0}
    assert nodes.slots == {CLASS: 1}
    heap = nodes.heap(CLASS, BALANCED)
    assert heap.best() is nodes.nodes["a"]
    nodes.remove("a")
    nodes.remove("never-there")
    assert heap.best() is None
    nodes.add(Node("b", {"cpu": 4.0}))
    assert (nodes.totals["cpu"], nodes.slots) == (4.0, {})
    assert heap.best() is nodes.nodes["b"]


def test_depths_that_change_are_worked_out_anew() -> None:
    """Everywhere the class runs."""
    prefetches = {CLASS: 1}
    nodes = Fleet(
        [Node("a", {"cpu": 4.0}, load={CLASS: 4}), Node("b", {"cpu": 4.0})], lambda g: prefetches.get(g, 1)
    )
    assert nodes.nodes["a"].free["cpu"] == 0.0
    prefetches[CLASS] = 4
    nodes.reclass({CLASS})
    assert (nodes.nodes["a"].free["cpu"], nodes.slots) == (3.0, {CLASS: 1})


def test_a_log_that_grows_too_long_is_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    """And a plan in the making is not hurt by it."""
    monkeypatch.setattr(fleet, "LOG_MIN", 4)
    monkeypatch.setattr(fleet, "LOG_PER_NODE_MAX", 1)
    nodes = Fleet([Node(f"n{i}", {"cpu": 8.0}) for i in range(3)], one_each)
    queue = ReadyQueue()
    for i in range(30):
        queue.add(f"t{i}", 1, 0.0, first=False)
    assert len(place(nodes, {CLASS: queue}, Rules(strategy="pack"), 0.0, 100).pairs) == 24


def test_the_least_used_heap_goes_first(monkeypatch: pytest.MonkeyPatch) -> None:
    """A shape that comes back gets another."""
    monkeypatch.setattr(fleet, "HEAPS_MAX", 1)
    nodes = Fleet([Node("a", {"cpu": 8.0})], one_each)
    first = nodes.heap(CLASS, BALANCED)
    other = class_of(spec(run=COMMAND, resources={"cpu": 2}))
    assert nodes.heap(other, BALANCED) is not first
    assert nodes.heap(CLASS, BALANCED) is not first


def test_equal_nodes_are_told_apart_by_name() -> None:
    """Should ever two have the same tie-break."""
    assert Node("a", {}) < Node("b", {})


def test_depths_bridge_the_way_to_the_node() -> None:
    """Unknown work goes alone, the shortest in bounded batches."""
    assert [prefetch_for(s) for s in (None, 1.0, 0.01, 0.0)] == [1, 1, 4, 625]


def test_commands_are_prefetched_while_the_newest_were_short() -> None:
    """All commands are one kind: after a long one, ended or not, the next ones go alone for a while."""
    durations, command = Durations(), CLASS._replace(kind="command")

    def prefetches(*ended_s: float) -> list[int]:
        found = []
        for duration_s in ended_s:
            durations.note(command[:3], duration_s)
            found.append(prefetch_by(durations, command))
        return found

    assert prefetches(*[0.004] * 9) == [1] * 7 + [12] * 2
    assert prefetches(2.0, *[0.004] * 14) == [1] * 15
    assert prefetches(*[0.004] * 60)[-1] == 12
    assert prefetches(*[0.2, 0.004, 0.004, 0.004, 0.004] * 7)[-7:] == [1] * 7, "one in five is long"
    assert prefetches(*[0.004] * 60)[-1] == 12
    durations.outlasted(command[:3], 1.0)
    assert prefetch_by(durations, command) == 1


def test_bare_tasks_have_lanes_of_their_own() -> None:
    """A bounded number of them, whatever else runs."""
    bare = class_of(spec(run=COMMAND, resources={"cpu": 0}))
    node = Node("a", {"cpu": 1.0}, load={bare: 31, CLASS: 1})
    node.recompute(one_each)
    assert (node.free_slots(bare), node.room(bare, 1), node.fits(bare)) == (1, 1, True)
    node.take(bare, 1, 1)
    assert not node.fits(bare)
    node.take(bare, -32, 1)
    assert bare not in node.load


def test_labels_that_tasks_ask_for_make_a_node_special(monkeypatch: pytest.MonkeyPatch) -> None:
    """Others go elsewhere while they can; a bounded number of labels counts."""
    wants_ssd = class_of(spec(run=COMMAND, labels={"disk": "ssd"}))
    fleet_ = Fleet([Node("a", {"cpu": 2.0}, labels={"disk": "ssd"}), Node("b", {"cpu": 1.0})], one_each)
    capable = STRATEGIES["capability_based"]
    fleet_.seek([wants_ssd])
    fleet_.add(Node("c", {"cpu": 1.0}, labels={"disk": "ssd"}))
    chosen = []
    while (node := fleet_.heap(CLASS, capable).best()) is not None:
        fleet_.take(node, CLASS, 1)
        chosen.append(node.id)
    assert (chosen[0], sorted(chosen)) == ("b", ["a", "a", "b", "c"])
    monkeypatch.setattr(fleet, "SOUGHT_MAX", 1)
    fleet_.seek([class_of(spec(run=COMMAND, labels={"zone": "x"}))])
    assert fleet_.sought == {("disk", "ssd")}


# ---------------------------------------------------------------------------------------------- the follower


def test_the_scheduler_sees_nodes_come_go_and_drain() -> None:
    """And forgets those that the state has forgotten."""
    stage = Stage()
    sched = Scheduler(Policy())

    def place_all() -> None:
        news = News(stage.state, Liveness(), stage.now, stage.now)
        for body in sched.react(news):
            stage.give(body, SYSTEM)

    stage.add_node(resources={"cpu": 1.0})
    first, second = stage.submit(spec(run=COMMAND), spec(run=COMMAND))
    place_all()
    assert (stage.task(first).status, stage.task(second).status) == ("running", "pending")
    stage.add_node(NODE_2)
    stage.give(DrainWorker(NODE_2), ADMIN)
    place_all()
    assert stage.task(second).status == "pending"
    stage.give(DrainWorker(NODE_2, False), ADMIN)
    place_all()
    assert stage.task(second).worker == NODE_2
    stage.give(LoseWorker(NODE_2, "gone"), SYSTEM)
    place_all()
    assert stage.task(second).status == "pending"
    del stage.state.workers[NODE_2]
    stage.end(first)
    place_all()
    assert stage.task(second).worker == NODE


def test_a_look_is_at_those_that_have_changed(monkeypatch: pytest.MonkeyPatch) -> None:
    """However many nodes there are: the one that was given something, and the one that was heard of."""
    looked: list[str] = []

    def noting(worker: Worker, now: float) -> str:
        looked.append(worker.id)
        return unschedulable_why(worker, now)

    monkeypatch.setattr(tracked_module, "unschedulable_why", noting)
    stage = ScheduledStage()
    for i in range(20):
        stage.add_node(f"worker-{i:02}")
    (first,) = stage.submit(spec(run=COMMAND))
    stage.schedule()
    assert sorted(looked) == [f"worker-{i:02}" for i in range(20)]
    given = stage.task(first).worker
    stage.pulse("worker-07", foreign={"cpu": 1.0})
    looked.clear()
    stage.submit(spec(run=COMMAND))
    stage.schedule()
    assert sorted(looked) == sorted({given, "worker-07"})


def test_depths_do_not_follow_every_small_move() -> None:
    """A change of depth is a change of every node that runs the class; one twice as deep is worth it."""
    stage = Stage()
    stage.add_node()
    (task_id,) = stage.submit(spec(run=FUNCTION))
    task_class, kept = stage.task(task_id).task_class, TrackedFleet()
    prefetches = []
    for average_s in (0.001, 0.0015, 0.003):
        stage.state.durations.outlasted(task_class[:3], average_s)
        kept.refreshed(stage.state, Liveness(), stage.now)
        prefetches.append(kept.prefetch(task_class))
    assert prefetches == [46, 46, 16]


def test_depths_of_forgotten_classes_are_dropped(monkeypatch: pytest.MonkeyPatch) -> None:
    """What neither waits nor runs is looked up in the durations."""
    monkeypatch.setattr(tracked_module, "PREFETCHES_MAX", 0)
    stage = Stage()
    stage.add_node()
    (task_id,) = stage.submit(spec(run=FUNCTION))
    task_class, kept = stage.task(task_id).task_class, TrackedFleet()
    for average_s in (0.001, 0.0015):
        stage.state.durations.outlasted(task_class[:3], average_s)
        kept.refreshed(stage.state, Liveness(), stage.now)
        assert kept.prefetch(task_class) == prefetch_for(average_s)


def test_what_was_tried_on_a_tracked_module_is_undone_at_the_next_look() -> None:
    """Loads, closed nodes and turns are as the state has them, for each that asks."""
    stage = Stage()
    for i in range(3):
        stage.add_node(f"worker-{i}", resources={"cpu": 1.0})
    kept = TrackedFleet()

    def look() -> dict[str, tuple[dict[TaskClass, int], str, int, dict[str, float]]]:
        nodes = kept.pristine(stage.state, Liveness(), stage.now).nodes
        return {
            node.id: (dict(node.load), node.unschedulable, node.turn, dict(node.free))
            for node in nodes.values()
        }

    before = look()
    fleet = kept.pristine(stage.state, Liveness(), stage.now)
    fleet.take(fleet.nodes["worker-0"], CLASS, 1)
    fleet.nodes["worker-1"].unschedulable = "tried"
    fleet.changed(fleet.nodes["worker-1"])
    assert look() == before
    stage.give(DrainWorker("worker-2"), ADMIN)
    assert look()["worker-2"][1] == "draining"
    fleet = kept.pristine(stage.state, Liveness(), stage.now)
    fleet.take(fleet.nodes["worker-0"], CLASS, 1)
    stage.give(LoseWorker("worker-0", "gone"), SYSTEM)
    stage.now += stage.policy.lost_worker_keep_s + 1
    stage.give(RemoveLostWorkers(("worker-0",)), SYSTEM)
    assert sorted(look()) == ["worker-1", "worker-2"]
    other = Stage()
    other.add_node("worker-9")
    assert [*kept.pristine(other.state, Liveness(), other.now).nodes] == ["worker-9"]


# ---------------------------------------------------------------------------------------------- estimates


def running(stage: Stage) -> Task:
    """Return a task that runs."""
    return stage.task(stage.run_to("running"))


def test_what_was_never_measured_has_no_end() -> None:
    """Nor has room that depends on it."""
    stage = Stage()
    task = running(stage)
    node = Node(NODE, {"cpu": 1.0}, load={task.task_class: 1})
    node.recompute(one_each)
    assert remaining_s(task, stage.state.durations, stage.now) is None
    stage.state.durations.outlasted(task.task_class[:3], 1.0)
    assert remaining_s(task, stage.state.durations, stage.now) is None
    assert when_free(node, task.task_class, [task], stage.state.durations, stage.now) is None
    assert completion(None, 0.0, stage.now) == (None, None)
    stage.state.durations.note(task.task_class[:3], 5.0)
    freeing = when_free(node, task.task_class, [task], stage.state.durations, stage.now + 2)
    assert freeing == (NODE, 3.0, {"cpu": 1.0}, 0.0)
    late = when_free(node, task.task_class, [task], stage.state.durations, stage.now + 7)
    assert late == (NODE, None, {"cpu": 1.0}, 2.0)
    assert (
        when_free(node, class_of(spec(run=COMMAND, resources={"npu": 1})), [task], stage.state.durations, 0.0)
        is None
    )


def test_room_that_needs_an_overdue_end_has_no_time() -> None:
    """Other tasks may still end in time; if they are enough, the overdue one does not matter."""
    stage = Stage()
    late, early = running(stage), running(stage)
    stage.state.durations.note(late.task_class[:3], 5.0)
    late.started_at, early.started_at = stage.now - 7.0, stage.now
    node = Node(NODE, {"cpu": 2.0}, load={late.task_class: 2})
    node.recompute(one_each)
    both = class_of(spec(run=COMMAND, resources={"cpu": 2}))
    freeing = when_free(node, both, [late, early], stage.state.durations, stage.now)
    assert freeing == (NODE, None, {"cpu": 2.0}, 2.0)
    freeing = when_free(node, late.task_class, [late, early], stage.state.durations, stage.now)
    assert freeing == (NODE, 5.0, {"cpu": 1.0}, 0.0)


def test_who_is_ahead_is_counted_by_level_and_arrival() -> None:
    """External work and the nodes' do not wait for each other."""
    stage = Stage()
    urgent = spec(run=COMMAND, priority="high")
    ids = stage.submit(spec(run=COMMAND), urgent, spec())
    stage.now += 1
    late, external = stage.submit(spec(run=COMMAND, resources={"cpu": 2}), spec())
    assert queued_ahead(stage.state, stage.task(late)) == 2
    assert queued_ahead(stage.state, stage.task(external)) == 1
    assert queued_ahead(stage.state, stage.task(ids[1])) == 0
    assert stage.task(late).status is Status.PENDING


# ---------------------------------------------------------------------------------------------- waits


def test_a_wait_is_one_entry_until_its_reason_changes() -> None:
    """A pause begins another."""
    log = WaitLog()
    for now in (0.0, 1.0, 2.0):
        log.note({CLASS: "no_room"}, now)
    log.note({CLASS: "quota"}, 3.0)
    log.note({CLASS: "quota"}, 4.0 + GAP_S)
    assert [(w.reason, w.since, w.seen) for w in log.of(CLASS)] == [
        ("no_room", 0.0, 2.0), ("quota", 3.0, 3.0), ("quota", 9.0, 9.0),
    ]  # fmt: skip
    assert log.of(class_of(spec())) == []


def test_waits_of_too_many_classes_are_dropped(monkeypatch: pytest.MonkeyPatch) -> None:
    """The first to go is the one that came first."""
    monkeypatch.setattr(waits, "CLASSES_MAX", 1)
    log = WaitLog()
    other = class_of(spec())
    log.note({CLASS: "no_room"}, 0.0)
    log.note({other: "no_room"}, 1.0)
    assert (log.of(CLASS), len(log.of(other))) == ([], 1)
