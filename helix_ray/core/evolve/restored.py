"""Folds facts about tasks that are restored from the history, or retried together with their dependencies."""

from __future__ import annotations

from helix_ray.core import events as ev
from helix_ray.core.evolve.applier import Appliers
from helix_ray.core.evolve.places import note_waiter
from helix_ray.core.evolve.standing import index_waiting, shift
from helix_ray.core.execution import fold
from helix_ray.core.state import NO_RESULTS, State, task_of


def _restored(state: State, event: ev.TaskRestored, fact: ev.Fact) -> None:
    """Restore a task as it ended; it is not archived any more."""
    task = task_of(event.id, event.submitted_seq, event.owner, event.spec, event.created_at)
    task.shard_results = event.parts or NO_RESULTS
    fold(task, fact)
    status = task.status
    state.tasks[event.id] = task
    state.restored[event.id] = None
    state.by_status[status] += 1
    state.finished[event.id] = event.finished_seq
    left = state.archived.get(status.value, 0) - 1
    if left > 0:
        state.archived[status.value] = left
    else:
        # In a journal with erased facts the count may be too low.
        state.archived.pop(status.value, None)


def _deferred(state: State, event: ev.TaskDeferred, fact: ev.Fact) -> None:
    """Make a task that was queued again wait for others."""
    task = state.tasks[event.id]
    shift(state, task, fact)
    task.waits_for = set(event.waits_for)
    index_waiting(state, task)
    note_waiter(state, task)


RETRY_FACTS: Appliers = {
    ev.TaskRestored: _restored,
    ev.TaskDeferred: _deferred,
}
