"""Chooses the victims of preemption: the fewest and least urgent attempts on one node that
free enough for a task."""

from __future__ import annotations

from collections.abc import Iterator

from helix_ray.core.blocking import held_class, level_of
from helix_ray.core.placement.fleet import Fleet
from helix_ray.core.placement.node import Node, Prefetch
from helix_ray.core.placement.room import Room
from helix_ray.core.placement.rules import RunningAttempt, RunningBy
from helix_ray.core.state import State, TaskClass

# Nodes that are examined for one urgent task: enough to find cheap victims, few enough for a
# loop that serves others.
NODES_MAX = 200


def make_room(
    fleet: Fleet, task_class: TaskClass, level: int, running: RunningBy
) -> tuple[Node, list[RunningAttempt]] | None:
    """Return a node and the attempts to preempt there so that a task of this level fits;
    None if no node qualifies.

    The best node has the least urgent victims, then the fewest, then those that have run the shortest.
    """
    best: tuple[tuple[int, int, float, int], Node, list[RunningAttempt]] | None = None
    looked_at = 0
    for node in fleet.open_nodes():
        if not (node.could_ever_run(task_class) and node.suits(task_class)):
            continue
        looked_at += 1
        if looked_at > NODES_MAX:
            break
        victims = victims_on(node, task_class, level, running)
        if victims is None:
            continue
        newest = min(victim.started_at for victim in victims)
        cost = (max(victim.level for victim in victims), len(victims), -newest, node.order)
        if best is None or cost < best[0]:
            best = (cost, node, victims)
    return None if best is None else (best[1], best[2])


def victims_on(
    node: Node, task_class: TaskClass, level: int, running: RunningBy
) -> list[RunningAttempt] | None:
    """Return a minimal set of attempts to preempt on a node for a task of a class; None if all attempts below
    its level together do not free enough."""
    short = {name for name, amount in task_class.demand if node.lacks(name, amount)}
    # The least urgent first, and of those the ones that lose the least work.
    lower = sorted(
        (item for item in running(node.id) if item.level < level and not item.task_class.gang),
        key=lambda item: (item.level, -item.started_at, item.task_id),
    )
    chosen: list[RunningAttempt] = []
    room = Room.of(node)
    for item in lower:
        if short.isdisjoint(name for name, _ in item.task_class.demand):
            continue
        chosen.append(item)
        room.take(item.task_class.demand, -1)
        if room.fits(task_class.demand):
            return _without_needless(node, task_class, chosen)
    return None


def _without_needless(
    node: Node, task_class: TaskClass, chosen: list[RunningAttempt]
) -> list[RunningAttempt]:
    """Drop, starting with the most urgent, each victim that is not needed given the others."""
    kept = list(chosen)
    for item in reversed(chosen):
        rest = [other for other in kept if other is not item]
        if rest and _enough(node, task_class, rest):
            kept = rest
    return kept


def _enough(node: Node, task_class: TaskClass, victims: list[RunningAttempt]) -> bool:
    room = Room.of(node)
    for victim in victims:
        room.take(victim.task_class.demand, -1)
    return room.fits(task_class.demand)


def preemptible(
    state: State, node_id: str, prefetch: Prefetch, preemptions_max: int
) -> Iterator[RunningAttempt]:
    """Yield the attempts of a node that may be preempted."""
    worker = state.workers.get(node_id)
    for task_id, attempt in worker.running.items() if worker is not None else ():
        task = state.tasks[task_id]
        # Several short tasks share a slot: preempting one of them frees nothing.
        slot_is_its_own = prefetch(task.task_class) == 1
        if slot_is_its_own and task.preemptions < preemptions_max and task.spec.get("preemptible", True):
            level, held = level_of(state, task), held_class(task)
            yield RunningAttempt(task_id, attempt, level, task.started_at or 0.0, held)
