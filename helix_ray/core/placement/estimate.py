"""Estimates when a task starts and ends, from measured durations and from what runs and waits ahead of it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import NamedTuple

from helix_ray.core.blocking import held_class, level_of, place_of
from helix_ray.core.durations import Durations, Measured
from helix_ray.core.placement.node import PREFETCH_S, Node, Prefetch, slots_of
from helix_ray.core.placement.reservation import Ending
from helix_ray.core.placement.room import Room
from helix_ray.core.state import State, Task, TaskClass

# The least remaining time to assume for a task of an unknown kind, where some assumption is needed.
UNMEASURED_S = 60.0
UNKNOWN = "no task of this kind has finished yet"


class Freeing(NamedTuple):
    """When a node is expected to have enough free resources, and which resources are missing.

    `in_s`: seconds from now; None where what runs there should have ended `overrun_s` seconds ago.
    """

    node_id: str
    in_s: float | None
    missing: dict[str, float]
    overrun_s: float = 0.0

    @property
    def order(self) -> tuple[bool, float]:
        """Sorts the soonest first; an estimate that still holds comes before one that has failed."""
        return self.in_s is None, self.overrun_s if self.in_s is None else self.in_s


def remaining_s(task: Task, durations: Durations, now: float) -> float | None:
    """Return the expected remaining seconds of a running task, by the average of its kind; None if unknown.

    It is negative for a task that has run for longer than the average.
    """
    measured = durations.of(task.task_class[:3])
    if measured is None or not measured.ended or measured.average_s is None or task.started_at is None:
        return None
    return task.started_at + measured.average_s - now


def endings(state: State, node_id: str, prefetch: Prefetch, now: float) -> Iterator[Ending]:
    """Yield when each slot of a node is expected to become free, with its demand; also where little is known.

    A task that has run for longer than the average of its kind, or whose kind is unknown, is expected to run
    for as long again: otherwise nodes would be reserved for services that run for weeks.
    """
    worker = state.workers.get(node_id)
    if worker is None:
        return
    for task_class, count in worker.load.items():
        if (tasks := prefetch(task_class)) > 1:
            yield from [(PREFETCH_S, task_class.demand)] * slots_of(count, tasks)
    for task_id in worker.running:
        task = state.tasks[task_id]
        held = held_class(task)
        if prefetch(held) == 1:
            ran_s = 0.0 if task.started_at is None else max(0.0, now - task.started_at)
            yield runs_on_s(ran_s, state.durations.average_s(task.task_class[:3])), held.demand


def runs_on_s(ran_s: float, average_s: float | None) -> float:
    """Return how many more seconds a task is expected to run after `ran_s`, by the average of its kind."""
    if average_s is None:
        return max(ran_s, UNMEASURED_S)
    return average_s - ran_s if ran_s < average_s else ran_s


def when_free(
    node: Node, task_class: TaskClass, running: Iterable[Task], durations: Durations, now: float
) -> Freeing | None:
    """Return when enough tasks of a node will have ended for a class to fit; None if that is unknown.

    Tasks whose estimate still holds are counted first. If they are not enough, the answer has no time.
    """
    missing = {
        name: amount - max(0.0, node.largest(name))
        for name, amount in task_class.demand
        if node.lacks(name, amount)
    }
    room = Room.of(node)
    ends = [(left, task) for task in running if (left := remaining_s(task, durations, now)) is not None]
    for left, task in sorted(ends, key=lambda end: (end[0] < 0, abs(end[0]), end[1].id)):
        held = held_class(task).demand
        if missing.keys().isdisjoint(name for name, _ in held):
            continue
        room.take(held, -1)
        if room.fits(task_class.demand):
            return Freeing(node.id, left, missing) if left >= 0 else Freeing(node.id, None, missing, -left)
    return None


def completion(measured: Measured | None, start_in_s: float, now: float) -> tuple[float | None, float | None]:
    """Return when (epoch seconds) a task that starts then will end: the median and the 90th percentile."""
    if measured is None:
        return None, None
    middle, most = measured.quantile(0.5), measured.quantile(0.9)
    if middle is None or most is None:
        return None, None
    return now + start_in_s + middle, now + start_in_s + most


def queued_ahead(state: State, task: Task) -> int:
    """Return how many waiting tasks are ahead of a task: more urgent ones, and equally
    urgent ones submitted before it."""
    ahead, own = 0, level_of(state, task)
    for task_class, queue in state.ready.items():
        if task_class.kind != task.task_class.kind and "external" in (task_class.kind, task.task_class.kind):
            continue
        ahead += sum(len(level) for level in queue.levels[own + 1 :])
        ahead += _before(queue.levels[own], task.id, place_of(state, task))
    return ahead


def _before(queue: Mapping[str, float], own_id: str, place: float) -> int:
    count = 0
    for task_id, created_at in queue.items():
        if task_id == own_id or created_at > place:
            break
        count += 1
    return count
