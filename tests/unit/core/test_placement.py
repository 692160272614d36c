"""Placement: what fits where, who goes first, and how many tasks a slot may be assigned."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest

from helix_ray.core.placement import Fleet, Node, Rules, place
from helix_ray.core.ready_queue import ReadyQueue
from helix_ray.core.state import TaskClass, class_of
from tests.unit.core.stage import COMMAND, spec

AGING_S = 600.0


def node(name: str = "n", load: dict[TaskClass, int] | None = None, **capacity: float) -> Node:
    """Return a node with this capacity."""
    return Node(name, {"cpu": 4.0, **capacity}, frozenset({"cuda"}), {"zone": "a"}, load or {})


def class_of_task(**fields: Any) -> TaskClass:
    """Return a class of command tasks."""
    return class_of(spec(run=COMMAND, **fields))


def queue_of(*tasks: tuple[str, int, float]) -> ReadyQueue:
    """Return a queue of (id, level, created at)."""
    queue = ReadyQueue()
    for task_id, level, created_at in tasks:
        queue.add(task_id, level, created_at, first=False)
    return queue


def many(count: int, prefix: str = "t", level: int = 1) -> ReadyQueue:
    """Return a queue of `count` tasks of the same age."""
    return queue_of(*((f"{prefix}{i}", level, 0.0) for i in range(count)))


def placed(
    nodes: list[Node],
    ready: dict[TaskClass, ReadyQueue],
    prefetch: int = 1,
    limit: int = 1000,
    now: float = 0.0,
) -> list[tuple[str, str]]:
    """Place with one depth for all classes."""
    fleet = Fleet(nodes, lambda task_class: prefetch)
    return place(fleet, ready, Rules(aging_s=AGING_S), now, limit).pairs


def test_a_node_takes_what_fits() -> None:
    """Four CPUs take four tasks of one CPU, in queue order, and have their load afterwards."""
    one = node()
    task_class = class_of_task()
    assert placed([one], {task_class: many(6)}) == [(f"t{i}", "n") for i in range(4)]
    assert (one.free["cpu"], one.load, one.utilisation()) == (0.0, {task_class: 4}, 1.0)


def test_what_runs_already_takes_room() -> None:
    """Including classes that nobody waits for."""
    other = class_of_task(resources={"cpu": 3})
    assert len(placed([node(load={other: 1})], {class_of_task(): many(6)})) == 1


@pytest.mark.parametrize(
    ("fields", "fits"),
    [
        ({}, True),
        ({"resources": {"cpu": 5}}, False),
        ({"resources": {"gpu": 1}}, False),
        ({"resources": {"cpu": 0}}, True),
        ({"required_capabilities": ["cuda"]}, True),
        ({"required_capabilities": ["npu"]}, False),
        ({"labels": {"zone": "a"}}, True),
        ({"labels": {"zone": "b"}}, False),
    ],
)
def test_filters(fields: dict[str, Any], fits: bool) -> None:
    """Resources, capabilities, labels; what fits nowhere stays, and keeps nobody else waiting."""
    task_class, easy = class_of_task(**fields), class_of_task(resources={"cpu": 0.5})
    pairs = placed([node()], {task_class: many(1), easy: many(1, "easy")})
    assert (("t0", "n") in pairs) is fits
    assert ("easy0", "n") in pairs


def test_fractions_add_up_to_a_whole() -> None:
    """Ten tasks of 0.1 GPU share one, whatever floating point makes of it."""
    task_class = class_of_task(resources={"cpu": 0, "gpu": 0.1})
    assert len(placed([node(gpu=1.0)], {task_class: many(12)})) == 10


def test_work_is_spread_over_the_least_utilised() -> None:
    """Equal nodes get equal shares; a busy one gets less."""
    task_class = class_of_task()
    pairs = placed([node("a"), node("b"), node("c", {task_class: 3})], {task_class: many(9)})
    assert Counter(name for _, name in pairs) == {"a": 4, "b": 4, "c": 1}


def test_slots_take_batches_of_short_work() -> None:
    """With a prefetch of 3, four slots take twelve tasks; a slot that has some is filled first."""
    task_class = class_of_task()
    assert len(placed([node()], {task_class: many(20)}, prefetch=3)) == 12
    assert len(placed([node(load={task_class: 10})], {task_class: many(20)}, prefetch=3)) == 2


def test_the_limit_holds() -> None:
    """However much would fit."""
    assert len(placed([node(), node("m")], {class_of_task(): many(6)}, prefetch=3, limit=4)) == 4
    assert placed([node()], {class_of_task(): many(6)}, limit=0) == []


def test_urgent_work_goes_first_and_old_work_is_not_forgotten() -> None:
    """Across classes and levels: every AGING_S of waiting counts as a level."""
    small, large = class_of_task(), class_of_task(resources={"cpu": 2})
    ready = {
        small: queue_of(("low", 0, 100.0), ("high", 2, 100.0)),
        large: queue_of(("normal", 1, 100.0), ("ancient", 0, -2000.0)),
    }
    order = [task_id for task_id, _ in placed([node(cpu=16.0)], ready, now=100.0)]
    assert order == ["ancient", "high", "normal", "low"]


def test_a_line_behind_its_taken_head_is_ranked_by_who_is_next() -> None:
    """After the urgent head of a class is placed, the next of another class may be older."""
    first, second = class_of_task(), class_of_task(resources={"cpu": 2})
    ready = {first: queue_of(("a", 1, 0.0), ("c", 1, 20.0)), second: queue_of(("b", 1, 10.0))}
    assert [task_id for task_id, _ in placed([node()], ready)] == ["a", "b", "c"]


def test_work_for_people_and_external_workers_is_left_to_them() -> None:
    """It has no run, so no node can do it."""
    assert placed([node()], {class_of(spec()): many(2)}) == []


def test_nowhere_to_go() -> None:
    """No nodes, no queues: nothing happens."""
    assert placed([], {class_of_task(): many(2)}) == []
    assert placed([node()], {}) == []
    assert Node("empty", {}).utilisation() == 0.0


def test_a_slot_takes_tasks_of_several_levels() -> None:
    """There is only one slot: what waits at a lower level of the same class still goes
    into it, in the same plan."""
    task_class = class_of_task(resources={"cpu": 4})
    ready = {task_class: queue_of(("urgent", 2, 0.0), ("usual", 1, 0.0), ("later", 0, 0.0))}
    plan = place(Fleet([node()], lambda task_class: 3), ready, Rules(), 0.0, 100)
    assert plan.pairs == [("urgent", "n"), ("usual", "n"), ("later", "n")]
