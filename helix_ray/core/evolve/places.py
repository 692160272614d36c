"""Updates what tasks inherit from tasks that wait for them: places in the queue at once, priorities later.

How far a priority reaches is not bounded, so a fact only notes the tasks next to it, in `State.dirty_levels`;
SpreadEndings recomputes them in commits of its own (core/decide/inheritance.py).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from helix_ray.core.blocked_on import BlockedOn
from helix_ray.core.blocking import level_of, place_of, waiters_of
from helix_ray.core.lifecycle import TERMINAL, Status
from helix_ray.core.names import shard_id
from helix_ray.core.state import State, Task


def note_waiter(state: State, waiter: Task) -> None:
    """Note the tasks that a task waits for, where its level may make a difference to theirs."""
    level, found = level_of(state, waiter), list[str]()
    for name in _waited_for(waiter):
        task = state.tasks.get(name)
        if task is None or task.status in TERMINAL:
            continue
        if name in state.inherited or level > level_of(state, task):
            found.append(name)
    _mark_dirty(state, found)


def note_awaited(state: State, task: Task) -> None:
    """Note a task that others wait for, where its own level or the number of these may have changed."""
    if task.id in state.inherited or any(
        level_of(state, waiter) > task.level for waiter in waiters_of(state, task)
    ):
        state.dirty_levels[task.id] = None


def note_released(state: State, names: Iterable[str]) -> None:
    """Note tasks that one task less waits for."""
    if state.inherited:
        _mark_dirty(state, (name for name in names if name in state.inherited))


def _mark_dirty(state: State, names: Iterable[str]) -> None:
    # Sorted, because sets are in another order in every process.
    state.dirty_levels.update(dict.fromkeys(sorted(names)))


def forget_inherited(state: State, task_id: str) -> None:
    """Forget what an ended task has inherited."""
    if not (state.inherited or state.dirty_levels):
        return
    state.inherited.pop(task_id, None)
    state.dirty_levels.pop(task_id, None)


def _waited_for(task: Task) -> Iterable[str]:
    yield from task.waits_for
    yield from task.blocked_on
    shards = task.spec.get("shards")
    if shards is not None:
        yield from (shard_id(task.id, index) for index in range(shards["count"]))


def begin_block(state: State, task: Task, until: str, on: Sequence[str]) -> None:
    """Record what a running task waits for; these go to the front of their levels, in this order."""
    end_block(state, task)
    task.block = BlockedOn(until, set(on), place_of(state, task))
    for name in reversed(on):
        state.blocking.setdefault(name, {})[task.id] = None
        _replace(state, name, first=True)
    note_waiter(state, task)


def end_block(state: State, task: Task) -> None:
    """Record that a task is not blocked any more; what it waited for keeps its position, not its place."""
    names, task.block = task.blocked_on, None
    for name in names:
        waiters = state.blocking[name]
        del waiters[task.id]
        if not waiters:
            del state.blocking[name]
        _replace(state, name, first=False)
    note_released(state, names)


def _replace(state: State, task_id: str, *, first: bool) -> None:
    """Give a queued task its place anew, at the front of its level or where it is."""
    task = state.tasks.get(task_id)
    if task is None or task.status is not Status.PENDING or task_id in state.delayed:
        return
    line = state.ready[task.task_class].levels[level_of(state, task)]
    line[task_id] = place_of(state, task)
    if first:
        line.move_to_end(task_id, last=False)
