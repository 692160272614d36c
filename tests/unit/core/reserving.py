"""Nodes, queues and plans for tests of reservations: tasks of one CPU run, and one
of four has waited long."""

from __future__ import annotations

from typing import Any

from helix_ray.core.placement import Fleet, Node, Rules, place
from helix_ray.core.placement.plan import Plan
from helix_ray.core.placement.reservation import Ending
from helix_ray.core.ready_queue import ReadyQueue
from helix_ray.core.state import TaskClass, class_of
from helix_ray.core.waits import Reservation
from tests.unit.core.stage import COMMAND, spec

NOW = 1_000.0

RESERVE_AFTER_S = 60.0


def asks(cpu: float = 1.0, **fields: Any) -> TaskClass:
    return class_of(spec(run=COMMAND, resources={"cpu": cpu}, **fields))


ONE, FOUR = asks(), asks(4.0)


def busy(name: str, slots: int = 4, **more: Any) -> Node:
    """Return a node of four CPUs that runs so many tasks of one."""
    return Node(name, {"cpu": 4.0}, load={ONE: slots} if slots else {}, **more)


def ending(*in_s: float) -> list[Ending]:
    """Return when slots of one CPU end."""
    return [(at, ONE.demand) for at in in_s]


def waiting(*lines: tuple[TaskClass, str, int, float]) -> dict[TaskClass, ReadyQueue]:
    """Return queues of (class, task, level, created at)."""
    ready: dict[TaskClass, ReadyQueue] = {}
    for task_class, task_id, level, created_at in lines:
        ready.setdefault(task_class, ReadyQueue()).add(task_id, level, created_at, first=False)
    return ready


OLD = NOW - RESERVE_AFTER_S

LARGE = (FOUR, "large", 1, OLD)

SMALL = (ONE, "small", 1, NOW)


def plan_of(fleet: Fleet, *lines: tuple[TaskClass, str, int, float], limit: int = 100, **rules: Any) -> Plan:
    ends = {"a": ending(10, 10, 10), "b": ending(20, 20, 20)}
    known: dict[str, Any] = {
        "reserve_after_s": RESERVE_AFTER_S,
        "endings": lambda node_id: ends.get(node_id, []),
    }
    return place(fleet, waiting(*lines), Rules(**(known | rules)), NOW, limit)


def three_of_four() -> Fleet:
    return Fleet([busy("a", 3), busy("b", 3)], lambda task_class: 1)


def many_nodes(count: int) -> Fleet:
    """Return nodes with one CPU free each."""
    return Fleet([busy(f"n{i:02}", 3) for i in range(count)], lambda task_class: 1)


def after_plans(
    fleet: Fleet, plans: int, *lines: tuple[TaskClass, str, int, float]
) -> tuple[Reservation, ...]:
    """Return the reservations after some plans of the same queues; every third slot ends in a
    minute, the others sooner."""
    reservations: tuple[Reservation, ...] = ()
    for _ in range(plans):
        plan = plan_of(fleet, *lines, reservations=reservations, endings=lambda node_id: ending(1, 2, 60))
        reservations = plan.reservations
    return reservations
