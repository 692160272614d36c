"""Room kept for a task that has waited long, where smaller ones would go on taking it piece by piece.

A hold is for one task or one gang, on the nodes that are expected to have its room first. It changes nothing for those
whose turn comes before the task that it is for. Few nodes are held at a time, so what stands idle has a bound.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from helix_ray.core.placement.fleet import Fleet
from helix_ray.core.placement.node import Node
from helix_ray.core.placement.room import Room
from helix_ray.core.state import Demand, TaskClass
from helix_ray.core.waits import Hold

# Nodes that are looked at for one hold (for a gang: at least as many as it has shards).
NODES_MAX = 200
# Nodes that are held at most, of all there are (and at least one; a gang's may be more, and then nothing else is held).
HELD_SHARE_MAX = 0.05
# What a held node is to those who come later, and why they wait.
HELD = "held"
# Nothing is held for what is expected to have room later than this.
AHEAD_S_MAX = 1_800.0
# A hold is thought over after this many times as long as it was expected to take, and not before so many seconds.
PATIENCE = 2.0
PATIENCE_S_MIN = 60.0

Ending = tuple[float, Demand]  # in how many seconds, and what is free then
EndingsOf = Callable[[str], Sequence[Ending]]


def make_hold(
    fleet: Fleet, group: TaskClass, task_id: str, wanted: int, endings: EndingsOf, now: float
) -> Hold | None:
    """Return the nodes on which `wanted` tasks of a class fit soonest, if nothing else begins there; None where that takes too long."""
    steps: list[tuple[float, int, str, int]] = []
    for looked_at, node in enumerate(_able(fleet, group)):
        if looked_at >= max(NODES_MAX, wanted):
            break
        steps += [(in_s, node.order, node.id, lanes) for in_s, lanes in _steps(node, group, endings(node.id))]
    steps.sort()
    lanes_on: dict[str, int] = {}
    total, at_s = 0, None
    for in_s, _, node_id, lanes in steps:
        if at_s is not None and in_s > at_s:
            break
        total += lanes - lanes_on.get(node_id, 0)
        lanes_on[node_id] = lanes
        at_s = in_s if total >= wanted else None
    if at_s is None or at_s > AHEAD_S_MAX:
        return None
    return Hold(group, task_id, _enough(lanes_on, wanted), now + max(PATIENCE_S_MIN, PATIENCE * at_s))


def _able(fleet: Fleet, group: TaskClass) -> Iterator[Node]:
    return (node for node in fleet.open_nodes() if node.could_hold(group) and node.suits(group))


def _steps(node: Node, group: TaskClass, endings: Sequence[Ending]) -> Iterator[tuple[float, int]]:
    """Give how many lanes of a class a node has room for, now and whenever that becomes more."""
    room, lanes = Room.of(node), 0
    for in_s, demand in ((0.0, ()), *sorted(endings)):
        room.take(demand, -1)
        if (more := room.lanes(group.demand)) > lanes:
            lanes = more
            yield in_s, lanes


def _enough(lanes_on: dict[str, int], wanted: int) -> tuple[str, ...]:
    """Leave out nodes that are not needed, those with the fewest lanes first."""
    total = sum(lanes_on.values())
    for node_id in sorted(lanes_on, key=lambda node_id: (lanes_on[node_id], node_id)):
        if total - lanes_on[node_id] >= wanted:
            total -= lanes_on.pop(node_id)
    return tuple(sorted(lanes_on))
