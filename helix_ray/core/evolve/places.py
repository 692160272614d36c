"""Updates what tasks inherit from tasks that wait for them: places in the queue at once, priorities later.

How far a priority reaches is not bounded, so a fact only notes the tasks next to it, in `State.dirty_levels`;
SpreadEndings recomputes them in commits of its own (core/decide/inheritance.py).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from helix_ray.core.blocked_on import BlockedOn
from helix_ray.core.blocking import level_of, place_of, waited_for, waiters_of
from helix_ray.core.lifecycle import TERMINAL, Status
from helix_ray.core.state import State, Task


def note_waiter(state: State, waiter: Task) -> None:
    """Note the tasks that a task waits for whose levels its own may change."""
    level, found = level_of(state, waiter), list[str]()
    for name in waited_for(waiter):
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
    """Note tasks for which one task fewer waits."""
    if state.inherited:
        _mark_dirty(state, (name for name in names if name in state.inherited))


def _mark_dirty(state: State, names: Iterable[str]) -> None:
    # Sorted, because sets are in another order in every process.
    state.dirty_levels.update(dict.fromkeys(sorted(names)))


def forget_inherited(state: State, task_id: str) -> None:
    """Forget what an ended task has inherited."""
    state.inherited.pop(task_id, None)
    state.dirty_levels.pop(task_id, None)


def begin_block(state: State, task: Task, until: str, on: Sequence[str]) -> None:
    """Record what a running task waits for; these go to the front of their levels, in this order."""
    end_block(state, task)
    task.block = BlockedOn(until, set(on), place_of(state, task))
    for name in reversed(on):
        state.blocking.setdefault(name, {})[task.id] = None
        _update_place(state, name, first=True)
    note_waiter(state, task)


def end_block(state: State, task: Task) -> None:
    """Record that a task is no longer blocked; what it waited for keeps its position, not its place."""
    names, task.block = task.blocked_on, None
    for name in names:
        waiters = state.blocking[name]
        del waiters[task.id]
        if not waiters:
            del state.blocking[name]
        _update_place(state, name, first=False)
    note_released(state, names)


def _update_place(state: State, task_id: str, *, first: bool) -> None:
    """Update the place of a queued task; with `first`, move it to the front of its level."""
    task = state.tasks.get(task_id)
    if task is None or task.status is not Status.PENDING or task_id in state.delayed:
        return
    line = state.ready[task.task_class].levels[level_of(state, task)]
    line[task_id] = place_of(state, task)
    if first:
        line.move_to_end(task_id, last=False)
