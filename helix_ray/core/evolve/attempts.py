"""Facts about attempts of tasks, into state."""

from __future__ import annotations

from helix_ray.core import events as ev
from helix_ray.core import leases
from helix_ray.core.evolve.applier import Appliers
from helix_ray.core.evolve.causes import unindex_failed
from helix_ray.core.evolve.standing import enqueue, index_unfinished, rewrite, shift
from helix_ray.core.evolve.workers import hold
from helix_ray.core.lifecycle import Status, move
from helix_ray.core.retry import count_requeue
from helix_ray.core.state import State, Task


def _assigned(state: State, event: ev.TaskAssigned, fact: ev.Fact) -> None:
    task = state.tasks[event.id]
    shift(state, task, move(task.status, "TaskAssigned"), fact)
    task.attempt = event.attempt
    task.worker = event.worker
    task.assigned_seq = fact.seq
    task.started_at = fact.at
    task.progress = 0.0
    task.note = None
    if event.worker is not None:
        worker = state.workers[event.worker]
        hold(state, worker, task)
        task.holder = worker.owner if worker.kind == "external" else None
        if worker.kind == "external":
            task.leases = leases.begin(task.leases, leases.Lease(event.attempt, worker.id, worker.owner))


def end_lease(task: Task, how: str) -> None:
    """Note how the newest lease of a task ended, if it had one."""
    if task.leases:
        # Not in place: a snapshot may hold the old ones.
        task.leases = leases.end(task.leases, how)


def _progressed(state: State, event: ev.TaskProgressed, fact: ev.Fact) -> None:
    task = state.tasks[event.id]
    move(task.status, "TaskProgressed")
    task.progress = event.progress
    if event.note is not None:
        task.note = event.note
    task.updated_at = fact.at


def _outlasted(state: State, event: ev.TaskOutlasted, fact: ev.Fact) -> None:
    task = state.tasks[event.id]
    move(task.status, "TaskOutlasted")
    state.durations.outlasted(task.task_class[:3], event.ran_s)


def _requeued(state: State, event: ev.TaskRequeued, fact: ev.Fact) -> None:
    task = state.tasks[event.id]
    was_running = task.status is Status.RUNNING
    unindex_failed(state, task)
    shift(state, task, move(task.status, "TaskRequeued"), fact)
    end_lease(task, leases.ended_by_requeue(event.cause))
    count_requeue(task, event.cause)
    if event.cause == "manual":
        rewrite(state, task.id, fact.seq)
    task.error = event.error
    task.result = None
    task.worker = task.holder = None
    task.started_at = None
    task.progress = 0.0
    task.note = None
    task.not_before = event.not_before
    # Retried before all that wait for it were told: they wait for it again.
    state.doomed.pop(task.id, None)
    index_unfinished(state, task)
    if event.not_before > fact.at:
        state.delayed[task.id] = event.not_before
    else:
        enqueue(state, task, first=was_running)


ATTEMPT_FACTS: Appliers = {
    ev.TaskAssigned: _assigned,
    ev.TaskProgressed: _progressed,
    ev.TaskOutlasted: _outlasted,
    ev.TaskRequeued: _requeued,
}
