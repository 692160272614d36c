"""Folds facts about attempts."""

from __future__ import annotations

from helix_ray.core import events as ev
from helix_ray.core.evolve.applier import Appliers
from helix_ray.core.evolve.causes import unindex_failed
from helix_ray.core.evolve.places import note_awaited
from helix_ray.core.evolve.standing import enqueue, index_unfinished, rewrite, shift
from helix_ray.core.evolve.workers import hold
from helix_ray.core.execution import fold, lease_to
from helix_ray.core.lifecycle import Status, move
from helix_ray.core.state import State


def _assigned(state: State, event: ev.TaskAssigned, fact: ev.Fact) -> None:
    task = state.tasks[event.id]
    shift(state, task, fact)
    task.assigned_seq = fact.seq
    if event.worker is not None:
        worker = state.workers.get(event.worker)
        if worker is None:
            # Its facts were erased, which takes that it is gone: a later fact takes the task from it.
            return
        hold(state, worker, task)
        if worker.kind == "external":
            lease_to(task, worker.owner)


def _progressed(state: State, event: ev.TaskProgressed, fact: ev.Fact) -> None:
    task = state.tasks[event.id]
    move(task.status, "TaskProgressed")
    fold(task, fact)


def _outlasted(state: State, event: ev.TaskOutlasted, fact: ev.Fact) -> None:
    task = state.tasks[event.id]
    move(task.status, "TaskOutlasted")
    state.durations.outlasted(task.task_class[:3], event.ran_s)


def _requeued(state: State, event: ev.TaskRequeued, fact: ev.Fact) -> None:
    task = state.tasks[event.id]
    was_running = task.status is Status.RUNNING
    unindex_failed(state, task)
    shift(state, task, fact)
    if event.cause == "manual":
        rewrite(state, task.id, fact.seq)
    # Retried before all dependents were failed: the rest wait for it again.
    state.doomed.pop(task.id, None)
    index_unfinished(state, task)
    if event.not_before > fact.at:
        state.delayed[task.id] = event.not_before
    else:
        enqueue(state, task, first=was_running)
    if not was_running:
        note_awaited(state, task)


ATTEMPT_FACTS: Appliers = {
    ev.TaskAssigned: _assigned,
    ev.TaskProgressed: _progressed,
    ev.TaskOutlasted: _outlasted,
    ev.TaskRequeued: _requeued,
}
