"""What costs a look at every node is done in parts, and every part has its turn."""

from __future__ import annotations

import pytest

from helix_ray.core.access import SYSTEM
from helix_ray.core.lifecycle import Status
from helix_ray.core.liveness import Liveness
from helix_ray.core.orders import OrderBody
from helix_ray.core.placement import STRATEGIES, Fleet, Node, plan
from helix_ray.core.placement.tracked import TrackedFleet
from helix_ray.core.state import TaskClass, class_of
from helix_ray.followers import scheduler as scheduler_module
from helix_ray.followers.base import News
from helix_ray.followers.scheduler import Scheduler
from tests.unit.core.stage import COMMAND, Stage, spec

BALANCED = STRATEGIES["load_balanced"]
SHAPES = [class_of(spec(run=COMMAND, resources={"cpu": cpu})) for cpu in range(1, 6)]


def made(fleet: Fleet, nodes_max: int, shapes: list[TaskClass] = SHAPES) -> list[int]:
    """Ask for the nodes of shapes as one plan does; return the CPUs of the shapes that got them."""
    fleet.ration(nodes_max)
    return [int(dict(g.demand)["cpu"]) for g in shapes if fleet.heap_if_cheap(g, BALANCED) is not None]


def fleet_of(nodes: int) -> Fleet:
    return Fleet([Node(f"n{i}", {"cpu": 8.0}) for i in range(nodes)], lambda task_class: 1)


def test_a_plan_makes_some_heaps_and_the_next_ones_the_others() -> None:
    """At least one, however many nodes there are; what is made is there for the next plan."""
    assert made(fleet_of(10), nodes_max=1) == [1]
    fleet = fleet_of(10)
    assert made(fleet, nodes_max=20) == [1, 2]
    assert made(fleet, nodes_max=20) == [1, 2, 3, 4]
    assert made(fleet, nodes_max=20) == [1, 2, 3, 4, 5]


def test_every_shape_has_its_turn_though_fewer_heaps_are_kept_than_wait(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Those first in rank are asked for first in each plan, and must not use up what may be made."""
    monkeypatch.setattr("helix_ray.core.placement.fleet.HEAPS_MAX", 2)
    fleet, seen = fleet_of(10), set()
    for _ in range(len(SHAPES)):
        seen |= set(made(fleet, nodes_max=10))
    assert seen == {1, 2, 3, 4, 5}


def test_a_shape_that_nobody_asks_for_any_more_is_forgotten() -> None:
    """It had its turn, and the others go on."""
    fleet = fleet_of(10)
    assert made(fleet, nodes_max=10) == [1]
    rest = SHAPES[3:]
    assert [made(fleet, nodes_max=10, shapes=rest) for _ in range(4)] == [[], [], [4], [4, 5]]


def react(scheduler: Scheduler, stage: Stage, liveness: Liveness) -> list[OrderBody]:
    return scheduler.react(News(stage.state, liveness, stage.now, stage.now))


def test_the_scheduler_plans_when_it_has_looked_at_every_node(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is busy until then; a node that changes or comes meanwhile is not missed."""
    monkeypatch.setattr(scheduler_module, "NEW_NODES_MAX", 2)
    stage, liveness = Stage(), Liveness()
    scheduler = Scheduler(stage.policy)
    for i in range(5):
        stage.add_node(f"worker-n{i}", resources={"cpu": 1.0})
    stage.submit(*[spec(run=COMMAND)] * 6)
    assert react(scheduler, stage, liveness) == []
    assert scheduler.busy
    stage.add_node("worker-n5", resources={"cpu": 1.0})
    assert react(scheduler, stage, liveness) == []
    assert scheduler.busy
    for order in react(scheduler, stage, liveness):
        stage.give(order, SYSTEM)
    assert not scheduler.busy
    assert stage.state.by_status[Status.RUNNING] == 6
    assert {len(worker.running) for worker in stage.state.workers.values()} == {1}


def test_a_first_look_in_steps_ends_where_one_at_once_does() -> None:
    stage, liveness, kept, whole = Stage(), Liveness(), TrackedFleet(), TrackedFleet()
    for i in range(7):
        stage.add_node(f"worker-n{i}")
    steps = 0
    while not steps or not kept.whole:
        kept.refreshed(stage.state, liveness, stage.now, 3)
        steps += 1
    assert steps == 3
    everybody = whole.refreshed(stage.state, liveness, stage.now).nodes
    assert list(kept.refreshed(stage.state, liveness, stage.now).nodes) == list(everybody)


def test_classes_without_heaps_are_placed_by_later_plans(monkeypatch: pytest.MonkeyPatch) -> None:
    """All that has room is started in the end, one shape a plan."""
    monkeypatch.setattr(plan, "HEAP_NODES_MAX", 1)
    stage, liveness = Stage(), Liveness()
    scheduler = Scheduler(stage.policy)
    stage.add_node(resources={"cpu": 100.0})
    stage.submit(*[spec(run=COMMAND, resources={"cpu": cpu}) for cpu in (1, 2, 3)])
    started = []
    for _ in range(3):
        for order in react(scheduler, stage, liveness):
            stage.give(order, SYSTEM)
        started.append(stage.state.by_status[Status.RUNNING])
    assert started == [1, 2, 3]
