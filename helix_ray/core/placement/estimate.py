"""When: from measured durations and from what runs and waits before. None, with the reason, while nothing is known."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import NamedTuple

from helix_ray.core.durations import Durations, Measured
from helix_ray.core.placement.node import PREFETCH_S, Node, Prefetch, slots_of
from helix_ray.core.placement.reservation import Ending
from helix_ray.core.placement.room import Room
from helix_ray.core.state import State, Task, TaskClass

# What a task of an unknown kind is taken to need at least, where a guess is better than none.
UNMEASURED_S = 60.0
UNKNOWN = "no task of this kind has finished yet"


class Freeing(NamedTuple):
    """When a node is expected to have room: in seconds from now, and what it waits for."""

    node_id: str
    in_s: float
    missing: dict[str, float]


def remaining_s(task: Task, durations: Durations, now: float) -> float | None:
    """Return how much longer a running task takes, by the average of its kind."""
    measured = durations.of(task.task_class[:3])
    if measured is None or not measured.ended or measured.average_s is None or task.started_at is None:
        return None
    # One that takes longer than it should is expected to end any moment.
    return max(0.0, task.started_at + measured.average_s - now)


def endings(state: State, node_id: str, prefetch: Prefetch, now: float) -> Iterator[Ending]:
    """Give when what a node runs is expected to end, lane by lane, also where little is known.

    What has run for longer than its kind does, or whose kind is unknown, is expected to run for as long again.
    """
    worker = state.workers.get(node_id)
    if worker is None:
        return
    for task_class, count in worker.load.items():
        if (tasks := prefetch(task_class)) > 1:
            yield from [(PREFETCH_S, task_class.demand)] * slots_of(count, tasks)
    for task_id in worker.running:
        task = state.tasks[task_id]
        if prefetch(task.task_class) == 1:
            ran_s = 0.0 if task.started_at is None else max(0.0, now - task.started_at)
            yield runs_on_s(ran_s, state.durations.average_s(task.task_class[:3])), task.task_class.demand


def runs_on_s(ran_s: float, average_s: float | None) -> float:
    """Return how many seconds a task is expected to run on that has run for so many, by the average of its kind."""
    if average_s is None:
        return max(ran_s, UNMEASURED_S)
    return average_s - ran_s if ran_s < average_s else ran_s


def when_free(
    node: Node, task_class: TaskClass, running: Iterable[Task], durations: Durations, now: float
) -> Freeing | None:
    """Return when what runs on a node will have left room for a class; None when that cannot be told."""
    missing = {
        name: amount - max(0.0, node.largest(name))
        for name, amount in task_class.demand
        if node.lacks(name, amount)
    }
    room = Room.of(node)
    ends = [(left, task) for task in running if (left := remaining_s(task, durations, now)) is not None]
    for left, task in sorted(ends, key=lambda end: (end[0], end[1].id)):
        if missing.keys().isdisjoint(name for name, _ in task.task_class.demand):
            continue
        room.take(task.task_class.demand, -1)
        if room.fits(task_class.demand):
            return Freeing(node.id, left, missing)
    return None


def completion(measured: Measured | None, start_in_s: float, now: float) -> tuple[float | None, float | None]:
    """Return when (epoch seconds) a task that starts then will be done: in the middle case, and in nine of ten."""
    if measured is None:
        return None, None
    middle, most = measured.quantile(0.5), measured.quantile(0.9)
    if middle is None or most is None:
        return None, None
    return now + start_in_s + middle, now + start_in_s + most


def queued_ahead(state: State, task: Task) -> int:
    """Return how many waiting tasks come before one: more urgent, or as urgent and there before."""
    ahead = 0
    for task_class, queue in state.ready.items():
        if task_class.kind != task.task_class.kind and "external" in (task_class.kind, task.task_class.kind):
            continue
        ahead += sum(len(level) for level in queue.levels[task.level + 1 :])
        ahead += _before(queue.levels[task.level], task)
    return ahead


def _before(queue: Mapping[str, float], task: Task) -> int:
    count = 0
    for task_id, created_at in queue.items():
        if task_id == task.id or created_at > task.created_at:
            break
        count += 1
    return count
