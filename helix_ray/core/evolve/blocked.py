"""Folds facts about attempts that wait for other tasks, and about the priorities that these inherit."""

from __future__ import annotations

from helix_ray.core import events as ev
from helix_ray.core.blocking import held_class, level_of
from helix_ray.core.evolve.applier import Appliers
from helix_ray.core.evolve.places import begin_block, note_waiter
from helix_ray.core.evolve.standing import dequeue, enqueue
from helix_ray.core.evolve.workers import reload, unblock
from helix_ray.core.lifecycle import Status, move
from helix_ray.core.specs import LEVELS
from helix_ray.core.state import State


def _blocked(state: State, event: ev.TaskBlocked, fact: ev.Fact) -> None:
    task = state.tasks[event.id]
    move(task.status, "TaskBlocked")
    before = held_class(task)
    begin_block(state, task, event.until, event.on)
    reload(state, task, before)


def _unblocked(state: State, event: ev.TaskUnblocked, fact: ev.Fact) -> None:
    task = state.tasks[event.id]
    move(task.status, "TaskUnblocked")
    unblock(state, task)


def _prioritised(state: State, event: ev.TaskPrioritised, fact: ev.Fact) -> None:
    task = state.tasks[event.id]
    move(task.status, "TaskPrioritised")
    state.dirty_levels.pop(task.id, None)
    before = level_of(state, task)
    inherited = None if event.priority is None else (LEVELS[event.priority], event.by or "")
    after = max(task.level, -1 if inherited is None else inherited[0])
    queued = after != before and task.status is Status.PENDING and task.id not in state.delayed
    if queued:
        dequeue(state, task)
    if inherited is None:
        state.inherited.pop(task.id, None)
    else:
        state.inherited[task.id] = inherited
    if queued:
        # One that loses a level is mostly older than the others of its own.
        enqueue(state, task, first=after < before or task.attempt > 0)
    if after != before:
        note_waiter(state, task)


BLOCKED_FACTS: Appliers = {
    ev.TaskBlocked: _blocked,
    ev.TaskUnblocked: _unblocked,
    ev.TaskPrioritised: _prioritised,
}
