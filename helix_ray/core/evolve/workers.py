"""Folds facts about workers, and updates the tasks of a worker."""

from __future__ import annotations

from helix_ray.core import events as ev
from helix_ray.core.blocking import held_class
from helix_ray.core.evolve.applier import Appliers
from helix_ray.core.evolve.places import end_block
from helix_ray.core.execution import lose_holder
from helix_ray.core.state import LOSSES_REMEMBERED, State, Task, TaskClass, Worker

# Why tasks lost their worker, where the fact has no reason.
STARTED_AGAIN = "the worker restarted"
REMOVED = "its worker was removed"


def hold(state: State, worker: Worker, task: Task) -> None:
    """Record that a worker has a task's current attempt."""
    worker.running[task.id] = task.attempt
    held = held_class(task)
    worker.load[held] = worker.load.get(held, 0) + 1
    worker.turn = max(worker.turn, task.assigned_seq)
    state.dirty.note(worker.id)
    worker.inbox.append((task.assigned_seq, task.id, task.attempt, True))


def let_go(state: State, task: Task, fact: ev.Fact) -> None:
    """Record that a worker does not have a task any more."""
    state.orphans.pop(task.id, None)
    held = held_class(task)
    if task.block is not None:
        end_block(state, task)
    worker = state.workers.get(task.worker) if task.worker else None
    if worker is None or worker.running.pop(task.id, None) is None:
        return
    _lighten(state, worker, held)
    # A node worker that may still run the attempt gets the revocation. The one whose report completes it has
    # ended it, and need not be told: that would be a message for each task.
    if type(fact.event) is not ev.TaskCompleted or fact.actor != worker.id:
        worker.inbox.append((fact.seq, task.id, task.attempt, False))


def _orphan(state: State, worker: Worker, why: str, seq: int) -> None:
    """Remove all tasks from a worker at once; each task then gets a fact of its own."""
    for task_id, attempt in worker.running.items():
        state.orphans[task_id] = why
        if state.tasks[task_id].block is not None:
            end_block(state, state.tasks[task_id])
            state.changed.append(task_id)
        if worker.kind == "external":
            lose_holder(state.tasks[task_id])
            state.changed.append(task_id)
        worker.inbox.append((seq, task_id, attempt, False))
    worker.running, worker.load = {}, {}


def unblock(state: State, task: Task) -> None:
    """Record that a blocked task goes on, and holds its CPUs again."""
    before = held_class(task)
    end_block(state, task)
    reload(state, task, before)


def reload(state: State, task: Task, before: TaskClass) -> None:
    """Update the load of the worker that runs a task after a change of what the task counts as there."""
    worker, after = state.workers.get(task.worker or ""), held_class(task)
    if worker is None or task.id not in worker.running or after == before:
        return
    _lighten(state, worker, before)
    worker.load[after] = worker.load.get(after, 0) + 1


def _lighten(state: State, worker: Worker, task_class: TaskClass) -> None:
    state.dirty.note(worker.id)
    left = worker.load[task_class] - 1
    if left:
        worker.load[task_class] = left
    else:
        del worker.load[task_class]


def capacity_of(worker: Worker) -> tuple[tuple[str, float], ...]:
    """Return a node's resources as a key: amounts above zero by name."""
    return tuple(sorted((name, float(amount)) for name, amount in worker.resources.items() if amount))


def index_node_type(state: State, worker: Worker, change: int) -> None:
    """Count how many nodes were registered with each capacity."""
    if worker.kind != "node":
        return
    capacity = capacity_of(worker)
    count = state.node_types.get(capacity, 0) + change
    if count:
        state.node_types[capacity] = count
    else:
        del state.node_types[capacity]


def _registered(state: State, event: ev.WorkerRegistered, fact: ev.Fact) -> None:
    known = state.workers.get(event.id)
    worker = Worker(
        id=event.id,
        kind=event.kind,
        owner=event.owner,
        hostname=event.hostname,
        capabilities=frozenset(event.capabilities),
        resources=event.resources,
        labels=event.labels,
        node_id=event.node_id,
        boot=event.boot,
        registered_at=known.registered_at if known else fact.at,
    )
    if known is not None:
        index_node_type(state, known, -1)
        worker.completed, worker.failed = known.completed, known.failed
        worker.lost_at, worker.turn = known.lost_at, known.turn
        worker.draining, worker.over = known.draining, known.over
        worker.running, worker.load, worker.inbox = known.running, known.load, known.inbox
        if known.boot != worker.boot:
            _orphan(state, worker, STARTED_AGAIN, fact.seq)
    index_node_type(state, worker, 1)
    state.workers[event.id] = worker
    state.dirty.note(worker.id)


def _drained(state: State, event: ev.WorkerDrained, fact: ev.Fact) -> None:
    worker = state.workers[event.id]
    worker.draining = event.draining
    state.dirty.note(worker.id)


def _lost(state: State, event: ev.WorkerLost, fact: ev.Fact) -> None:
    worker = state.workers[event.id]
    worker.lost = True
    _orphan(state, worker, event.reason, fact.seq)
    worker.lost_at = [*worker.lost_at, fact.at][-LOSSES_REMEMBERED:]
    state.dirty.note(worker.id)


def _crossed(state: State, event: ev.WorkerCrossedThreshold, fact: ev.Fact) -> None:
    worker = state.workers[event.id]
    worker.over = {figure: level for figure, level in worker.over.items() if figure != event.figure}
    if event.level != "ok":
        worker.over[event.figure] = event.level


def _removed_lost(state: State, event: ev.WorkerRetired, fact: ev.Fact) -> None:
    worker = state.workers.pop(event.id)
    _orphan(state, worker, REMOVED, fact.seq)
    index_node_type(state, worker, -1)
    state.dirty.note(worker.id)


WORKER_FACTS: Appliers = {
    ev.WorkerRegistered: _registered,
    ev.WorkerDrained: _drained,
    ev.WorkerLost: _lost,
    ev.WorkerRetired: _removed_lost,
    ev.WorkerCrossedThreshold: _crossed,
}
