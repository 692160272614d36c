"""Folds facts about tasks."""

from __future__ import annotations

from helix_ray.core import events as ev
from helix_ray.core.blocking import held_class, level_of
from helix_ray.core.evolve.applier import Appliers
from helix_ray.core.evolve.causes import index_failed
from helix_ray.core.evolve.places import note_awaited, note_waiter
from helix_ray.core.evolve.standing import (
    count_unfinished,
    dequeue,
    doom,
    drop,
    end_blocks_on,
    enqueue,
    index_unfinished,
    index_waiting,
    rewrite,
    shift,
    wait_no_more,
)
from helix_ray.core.evolve.workers import let_go, reload
from helix_ray.core.execution import fold
from helix_ray.core.lifecycle import TERMINAL, Status, move
from helix_ray.core.specs import LEVELS, TaskSpec
from helix_ray.core.state import State, Task, class_of, task_of


def _submitted(state: State, event: ev.TaskSubmitted, fact: ev.Fact) -> None:
    task = state.tasks[event.id] = task_of(event.id, fact.seq, event.owner, event.spec, fact.at)
    if event.waits_for:
        task.status = Status.WAITING
    count_unfinished(state, task, 1)
    state.by_status[task.status] += 1
    index_unfinished(state, task)
    if event.waits_for:
        task.waits_for = set(event.waits_for)
        index_waiting(state, task)
        note_waiter(state, task)
    else:
        enqueue(state, task)
    if task.id in state.dependents:
        # It comes after dependents of its own order.
        note_awaited(state, task)


def _released(state: State, event: ev.TaskReleased, fact: ev.Fact) -> None:
    task = state.tasks[event.id]
    shift(state, task, fact)
    wait_no_more(state, task)
    enqueue(state, task, first=task.attempt > 0)


def _completed(state: State, event: ev.TaskCompleted, fact: ev.Fact) -> None:
    task = state.tasks[event.id]
    shift(state, task, fact)
    _learn(state, task, event.duration_s)
    if "shard" in task.spec:
        _hand_in(state, task)
    for other_id in state.dependents.pop(task.id, ()):
        other = state.tasks[other_id]
        other.waits_for -= {task.id}
        state.changed.append(other_id)
        if not other.waits_for:
            state.freed[other_id] = None
    worker = state.workers.get(task.worker or "")
    if worker is not None:
        worker.completed += 1


def _learn(state: State, task: Task, duration_s: float | None) -> None:
    if duration_s is not None:
        state.durations.note(task.task_class[:3], duration_s)


def _hand_in(state: State, task: Task) -> None:
    """Store a shard's result in its parent: the shard may leave memory before the parent ends."""
    shard = task.spec["shard"]
    parent = state.tasks.get(shard["of"])
    if parent is not None:
        # Not in place: a snapshot may refer to the old one.
        parent.shard_results = {**parent.shard_results, str(shard["index"]): task.result}
        state.changed.append(parent.id)


def _failed(state: State, event: ev.TaskFailed, fact: ev.Fact) -> None:
    task = state.tasks[event.id]
    shift(state, task, fact)
    _learn(state, task, event.duration_s)
    wait_no_more(state, task)
    index_failed(state, task)
    doom(state, task.id)
    worker = state.workers.get(task.worker or "")
    if worker is not None:
        worker.failed += 1


def _cancelled(state: State, event: ev.TaskCancelled, fact: ev.Fact) -> None:
    task = state.tasks[event.id]
    shift(state, task, fact)
    wait_no_more(state, task)
    doom(state, task.id)


def _edited(state: State, event: ev.TaskEdited, fact: ev.Fact) -> None:
    task = state.tasks[event.id]
    move(task.status, "TaskEdited")
    spec: TaskSpec = {**task.spec, **event.changes}
    level, task_class = LEVELS[spec.get("priority", "normal")], class_of(spec, task.owner)
    queued = task.status is Status.PENDING and task.id not in state.delayed
    was, held = level_of(state, task), held_class(task)
    # A task whose class and priority stay keeps its place in the queue.
    moved = queued and (level, task_class) != (task.level, task.task_class)
    if moved:
        dequeue(state, task)
    if task.status not in TERMINAL:
        count_unfinished(state, task, -1)
    task.spec, task.level, task.task_class = spec, level, task_class
    if task.status not in TERMINAL:
        count_unfinished(state, task, 1)
    reload(state, task, held)
    fold(task, fact)
    state.deadlines.pop(task.id, None)
    index_unfinished(state, task)
    if moved:
        enqueue(state, task)
    if level_of(state, task) != was:
        note_waiter(state, task)
    if task.status not in TERMINAL:
        note_awaited(state, task)


def _deleted(state: State, event: ev.TaskDeleted, fact: ev.Fact) -> None:
    task = state.tasks.get(event.id)
    if task is None or task.status in TERMINAL or event.id in state.rewritten:
        rewrite(state, event.id, fact.seq)
    if task is None:
        # It is archived: only the history has it, and will fold this fact.
        return
    if task.status is Status.PENDING:
        dequeue(state, task)
    elif task.status is Status.RUNNING:
        let_go(state, task, fact)
    wait_no_more(state, task)
    drop(state, task)
    end_blocks_on(state, task.id)
    doom(state, task.id)


def _archived(state: State, event: ev.TasksRetired, fact: ev.Fact) -> None:
    state.changed += event.ids
    for task_id in event.ids:
        task = state.tasks.get(task_id)
        if task is None:
            # Its facts were erased: folded from the beginning, the state never had it.
            state.absent.discard(task_id)
            continue
        status = task.status.value  # a plain string: a snapshot's keys are JSON
        state.archived[status] = state.archived.get(status, 0) + 1
        # The history has its latest ending, or it would not be archived: a task recorded here that is not
        # in memory was deleted.
        state.rewritten.pop(task_id, None)
        drop(state, task)
    state.archived_through = event.through_seq


TASK_FACTS: Appliers = {
    ev.TaskSubmitted: _submitted,
    ev.TaskReleased: _released,
    ev.TaskCompleted: _completed,
    ev.TaskFailed: _failed,
    ev.TaskCancelled: _cancelled,
    ev.TaskEdited: _edited,
    ev.TaskDeleted: _deleted,
    ev.TasksRetired: _archived,
}
