"""What a task releases while it waits for others, and what these inherit.

A running function that waits for other tasks is *blocked*: it holds no CPUs meanwhile, so that what it waits
for can have them. Its other resources stay its own. `held_class` says what it holds.

A task that another one waits for inherits the precedence of that one:

    its priority      from every task that waits for it (blocked on it, or depending on it; a shard from its
                      parent), directly or not. `State.inherited` has the levels.
    its place         from tasks that are blocked on it: these have begun, and hold memory and a process. It
                      goes to the front of its level, as if it were as old as the oldest of them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import lru_cache
from math import nextafter
from typing import Final

from helix_ray.core.families import parent_of
from helix_ray.core.names import shard_id
from helix_ray.core.state import CLASSES_SHARED_MAX, Demand, State, Task, TaskClass

# What a blocked task gives back: the rest (memory, devices, what a node offers under other names) may be in
# use by what its function has made so far.
RELEASED = frozenset({"cpu"})
NONE_DECIDED: Final[Mapping[str, int]] = {}


def kept(demand: Demand) -> Demand:
    """Return what a blocked task keeps of its demand."""
    return tuple((name, amount) for name, amount in demand if name not in RELEASED)


@lru_cache(maxsize=CLASSES_SHARED_MAX)
def _blocked(task_class: TaskClass) -> TaskClass:
    return task_class._replace(demand=kept(task_class.demand), blocked=True)


def held_class(task: Task) -> TaskClass:
    """Return the class that a task counts as where it runs: without CPUs while it is blocked."""
    return _blocked(task.task_class) if task.block is not None else task.task_class


def level_of(state: State, task: Task) -> int:
    """Return the level at which a task is queued: its own, or a higher one that it inherits."""
    inherited = state.inherited.get(task.id)
    return task.level if inherited is None else max(task.level, inherited[0])


def place_of(state: State, task: Task) -> float:
    """Return the time that counts as a task's submit in its queue: a moment before that of the oldest task
    that is blocked on it, if that is older."""
    waiters = state.blocking.get(task.id)
    if not waiters:
        return task.created_at
    places = (block.place for waiter in waiters if (block := state.tasks[waiter].block) is not None)
    return min(task.created_at, nextafter(min(places), 0.0))


def waited_for(task: Task) -> Iterator[str]:
    """Yield what a task waits for: its dependencies, the tasks that it is blocked on, its shards."""
    yield from task.waits_for
    yield from task.blocked_on
    shards = task.spec.get("shards")
    if shards is not None:
        yield from (shard_id(task.id, index) for index in range(shards["count"]))


def waiters_of(state: State, task: Task) -> Iterator[Task]:
    """Yield the tasks that wait for a task: dependents, those blocked on it, and the parent of a shard."""
    for ids in (state.dependents.get(task.id, ()), state.blocking.get(task.id, ())):
        yield from (state.tasks[waiter] for waiter in ids)
    parent = parent_of(state, task)
    if parent is not None and not parent.finished_seq:
        yield parent


def inherited_by(
    state: State, task: Task, decided: Mapping[str, int] = NONE_DECIDED
) -> tuple[int, str] | None:
    """Return the level that a task inherits and from which task; None if no more urgent one waits for it.

    `decided` are levels of tasks that the state does not have yet.
    """
    levels = (
        (-decided.get(waiter.id, level_of(state, waiter)), waiter.id) for waiter in waiters_of(state, task)
    )
    best = min(levels, default=None)
    return None if best is None or -best[0] <= task.level else (-best[0], best[1])
