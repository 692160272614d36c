"""Chooses the nodes to reserve for a task that has waited long: those on which it
is expected to fit first."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from helix_ray.core.placement.node import EPSILON, Node
from helix_ray.core.placement.room import Room
from helix_ray.core.state import Demand, TaskClass
from helix_ray.core.waits import Reservation

# Nodes that are examined for one reservation (for a gang: twice its number of shards, if that is more).
NODES_MAX = 200
# Nothing is reserved for a task that is expected to fit later than this: the nodes would stand
# idle for too long.
AHEAD_S_MAX = 1_800.0
# A reservation is reconsidered after this many times the expected wait, but not before PATIENCE_S_MIN.
PATIENCE = 2.0
PATIENCE_S_MIN = 60.0
PATIENCE_S_MAX = PATIENCE * AHEAD_S_MAX
# Spreads searches over the nodes of a large cluster: a prime, so that every node is examined in time.
STRIDE = 7919

Ending = tuple[float, Demand]  # in how many seconds, and what is free then
EndingsOf = Callable[[str], Sequence[Ending]]


def make_reservation(
    able: Sequence[Node], task_class: TaskClass, task_id: str, wanted: int, endings: EndingsOf, now: float
) -> Reservation | None:
    """Return a reservation on the nodes where `wanted` tasks of a class fit first, provided
    that nothing else starts there.

    None if that would take too long, and if no reservation is needed because the end of
    a single task frees enough.
    """
    steps: list[tuple[float, int, str, int]] = []
    for node in _looked_at(able, max(NODES_MAX, 2 * wanted), now):
        found = _steps(node, task_class, endings(node.id))
        steps += [(in_s, node.order, node.id, slots) for in_s, slots in found if in_s <= AHEAD_S_MAX]
    steps.sort()
    slots_on: dict[str, int] = {}
    total, at_s = 0, None
    for in_s, _, node_id, slots in steps:
        if at_s is not None and in_s > at_s:
            break
        total += slots - slots_on.get(node_id, 0)
        slots_on[node_id] = slots
        at_s = in_s if total >= wanted else None
    if at_s is None:
        return None
    nodes = _enough(slots_on, wanted)
    if wanted == 1 and _freed_by_one(task_class, endings(nodes[0]), at_s):
        return None
    return Reservation(task_class, task_id, nodes, now + max(PATIENCE_S_MIN, PATIENCE * at_s))


def _looked_at(able: Sequence[Node], count: int, now: float) -> Iterator[Node]:
    """Yield `count` of the nodes, a different part of them in every second."""
    start = int(now) * STRIDE % len(able) if len(able) > count else 0
    return (able[(start + i) % len(able)] for i in range(min(count, len(able))))


def _steps(node: Node, task_class: TaskClass, endings: Sequence[Ending]) -> Iterator[tuple[float, int]]:
    """Yield (seconds from now, slots of a class that fit then) for now and each time that more fit."""
    room, slots = Room.of(node), 0
    for in_s, demand in ((0.0, ()), *sorted(endings)):
        room.take(demand, -1)
        if (more := room.slots(task_class.demand)) > slots:
            slots = more
            yield in_s, slots


def _freed_by_one(task_class: TaskClass, endings: Sequence[Ending], by_s: float) -> bool:
    """Say whether the end of one task frees all that a class asks for: the queue order
    then decides who gets it."""
    freed = (dict(demand) for in_s, demand in endings if in_s <= by_s)
    return any(
        all(amounts.get(name, 0.0) + EPSILON >= amount for name, amount in task_class.demand)
        for amounts in freed
    )


def _enough(slots_on: dict[str, int], wanted: int) -> tuple[str, ...]:
    """Drop the nodes that are not needed, those with the fewest slots first."""
    total = sum(slots_on.values())
    for node_id in sorted(slots_on, key=lambda node_id: (slots_on[node_id], node_id)):
        if total - slots_on[node_id] >= wanted:
            total -= slots_on.pop(node_id)
    return tuple(sorted(slots_on))
