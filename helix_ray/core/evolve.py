"""Facts into state: total, boring, no policy. One function a kind; the lifecycle table has the last word.

Policy belongs to decide: were it here, tomorrow's policy would rewrite yesterday.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from helix_ray.core import events as ev
from helix_ray.core import leases
from helix_ray.core.evolve_accounts import ACCOUNT_FACTS
from helix_ray.core.evolve_projects import PROJECT_FACTS
from helix_ray.core.evolve_workers import WORKER_FACTS, hold, let_go, reload
from helix_ray.core.lifecycle import TERMINAL, Status, move
from helix_ray.core.state import (
    DRAIN_SLICE_S,
    DRAIN_SLICES,
    LEVELS,
    Quota,
    ReadyQueue,
    State,
    Task,
    class_of,
)

# Ends that a history which is behind still tells; one that is further behind than that does not answer.
REWRITTEN_MAX = 10_000
# What a task is told when one that it waits for will not be completed; it tells the same to those that wait for it.
DOOMS = frozenset({"dependency_failed", "dependency_cancelled", "dependency_deleted"})


def evolve(state: State, fact: ev.Fact) -> None:
    """Fold one fact into the state. Raises IllegalMove, and changes nothing, for a move the table lacks."""
    event = fact.event
    APPLY[type(event)](state, event, fact)
    if type(event) in ABOUT_A_TASK:
        state.changed.append(event.id)  # type: ignore[union-attr]  # each of them has one
    state.seq = fact.seq
    state.at = fact.at


def enqueue(state: State, task: Task, *, first: bool = False) -> None:
    """Put a pending task where the scheduler (or an external worker's heartbeat) finds it."""
    queue = state.ready.get(task.task_class)
    if queue is None:
        queue = state.ready[task.task_class] = ReadyQueue()
    queue.add(task.id, task.level, task.created_at, first=first)


def _dequeue(state: State, task: Task) -> None:
    state.delayed.pop(task.id, None)
    queue = state.ready.get(task.task_class)
    if queue is not None:
        queue.discard(task.id, task.level)
        if not queue.size:
            del state.ready[task.task_class]


def _shift(state: State, task: Task, status: Status, fact: ev.Fact) -> None:
    """Change a status and the counts and queues that follow from it."""
    before = task.status
    if before is Status.PENDING:
        _dequeue(state, task)
    if before is Status.RUNNING and status is not Status.RUNNING:
        let_go(state, task, fact.seq)
    state.by_status[before] -= 1
    state.by_status[status] += 1
    task.status = status
    task.updated_at = fact.at
    if status in TERMINAL:
        task.finished_at = fact.at
        task.finished_seq = fact.seq
        state.finished[task.id] = fact.seq
        state.deadlines.pop(task.id, None)
        count_unfinished(state, task, -1)
        _count_ending(state, fact.at)
    elif before in TERMINAL:
        state.finished.pop(task.id, None)
        task.finished_at, task.finished_seq = None, 0
        count_unfinished(state, task, 1)


def count_unfinished(state: State, task: Task, change: int) -> None:
    """Keep how many tasks of a project are not finished."""
    project = task.task_class.project
    left = state.unfinished.get(project, 0) + change
    if left:
        state.unfinished[project] = left
    else:
        del state.unfinished[project]


def _count_ending(state: State, at: float) -> None:
    endings = state.endings
    if endings and at < (endings[-1][0] + 1) * DRAIN_SLICE_S:
        endings[-1][1] += 1
        return
    now = int(at / DRAIN_SLICE_S)
    endings.append([now, 1])
    if len(endings) > DRAIN_SLICES + 1:
        del endings[0]


def _submitted(state: State, event: ev.TaskSubmitted, fact: ev.Fact) -> None:
    spec = event.spec
    status = Status.WAITING if event.waits_for else Status.PENDING
    task = Task(
        event.id, fact.seq, event.owner, spec, LEVELS[spec.get("priority", "normal")],
        class_of(spec, event.owner), status, fact.at, fact.at,
    )  # fmt: skip
    state.tasks[event.id] = task
    count_unfinished(state, task, 1)
    state.by_status[status] += 1
    index_unfinished(state, task)
    if event.waits_for:
        task.waits_for.update(event.waits_for)
        index_waiting(state, task)
    else:
        enqueue(state, task)


def index_waiting(state: State, task: Task) -> None:
    """Note a waiting task beside every task that it waits for."""
    for name in task.waits_for:
        state.dependents.setdefault(name, {})[task.id] = None


def _wait_no_more(state: State, task: Task) -> None:
    state.freed.pop(task.id, None)
    for name in task.waits_for:
        waiting = state.dependents[name]
        del waiting[task.id]
        if not waiting:
            del state.dependents[name]
            state.doomed.pop(name, None)
    task.waits_for.clear()


def doom(state: State, task_id: str) -> None:
    """Note what others wait for though it will not be completed, and how they will be told."""
    if task_id in state.dependents:
        state.doomed[task_id] = _doom_of(state.tasks.get(task_id))


def _doom_of(task: Task | None) -> str:
    if task is None:
        return "dependency_deleted"
    reason = str((task.error or {}).get("reason", ""))
    if task.status is Status.FAILED and reason in DOOMS:
        return reason
    return "dependency_failed" if task.status is Status.FAILED else "dependency_cancelled"


def index_unfinished(state: State, task: Task) -> None:
    """Note a task's deadline, if it has one."""
    deadline = task.spec.get("deadline")
    if deadline is not None:
        state.deadlines[task.id] = deadline


def _released(state: State, event: ev.TaskReleased, fact: ev.Fact) -> None:
    task = state.tasks[event.id]
    status = move(task.status, "TaskReleased")
    _wait_no_more(state, task)
    first = task.attempt > 0
    _shift(state, task, status, fact)
    enqueue(state, task, first=first)


def _assigned(state: State, event: ev.TaskAssigned, fact: ev.Fact) -> None:
    task = state.tasks[event.id]
    _shift(state, task, move(task.status, "TaskAssigned"), fact)
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


def _end_lease(task: Task, how: str) -> None:
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
    _shift(state, task, move(task.status, "TaskRequeued"), fact)
    _end_lease(task, leases.ended_by_requeue(event.cause))
    if event.cause == "retry":
        task.failures += 1
    elif event.cause == "lost":
        task.losses += 1
    elif event.cause == "preempted":
        task.preemptions += 1
    elif event.cause == "manual":
        task.failures = task.losses = task.preemptions = 0
        _rewrite(state, task.id, fact.seq)
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


def _completed(state: State, event: ev.TaskCompleted, fact: ev.Fact) -> None:
    task = state.tasks[event.id]
    _shift(state, task, move(task.status, "TaskCompleted"), fact)
    _end_lease(task, leases.REPORTED)
    task.result = event.result
    task.error = None
    task.progress = 100.0
    _learn(state, task, event.duration_s)
    if "shard" in task.spec:
        _hand_in(state, task)
    for other_id in state.dependents.pop(task.id, ()):
        other = state.tasks[other_id]
        other.waits_for.discard(task.id)
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
    """Keep a shard's result with the task that it is a part of: the shard itself may leave memory before that ends."""
    shard = task.spec["shard"]
    whole = state.tasks.get(shard["of"])
    if whole is not None:
        # Not in place: a snapshot may hold the old one.
        whole.parts = {**whole.parts, str(shard["index"]): task.result}
        state.changed.append(whole.id)


def _failed(state: State, event: ev.TaskFailed, fact: ev.Fact) -> None:
    task = state.tasks[event.id]
    _shift(state, task, move(task.status, "TaskFailed"), fact)
    _end_lease(task, leases.ended_by_end(task.status, event.error))
    _learn(state, task, event.duration_s)
    _wait_no_more(state, task)
    task.error = event.error
    task.result = event.result
    doom(state, task.id)
    worker = state.workers.get(task.worker or "")
    if worker is not None:
        worker.failed += 1


def _cancelled(state: State, event: ev.TaskCancelled, fact: ev.Fact) -> None:
    task = state.tasks[event.id]
    _shift(state, task, move(task.status, "TaskCancelled"), fact)
    _end_lease(task, leases.CANCELLED)
    _wait_no_more(state, task)
    task.error = {"reason": "cancelled", "message": event.reason}
    doom(state, task.id)


def _edited(state: State, event: ev.TaskEdited, fact: ev.Fact) -> None:
    task = state.tasks[event.id]
    move(task.status, "TaskEdited")
    spec = {**task.spec, **event.changes}
    level, task_class = LEVELS[spec.get("priority", "normal")], class_of(spec, task.owner)
    queued = task.status is Status.PENDING and task.id not in state.delayed
    # A task whose class and priority stay keeps its place in the queue.
    moved = queued and (level, task_class) != (task.level, task.task_class)
    if moved:
        _dequeue(state, task)
    holder = state.workers.get(task.worker or "")
    if holder is not None and task.id in holder.running and task_class != task.task_class:
        reload(state, holder, task.task_class, task_class)
    if task.status not in TERMINAL:
        count_unfinished(state, task, -1)
    task.spec, task.level, task.task_class = spec, level, task_class
    if task.status not in TERMINAL:
        count_unfinished(state, task, 1)
    task.updated_at = fact.at
    state.deadlines.pop(task.id, None)
    index_unfinished(state, task)
    if moved:
        enqueue(state, task)


def _drop(state: State, task: Task) -> None:
    del state.tasks[task.id]
    state.by_status[task.status] -= 1
    if task.status not in TERMINAL:
        count_unfinished(state, task, -1)
    state.finished.pop(task.id, None)
    state.deadlines.pop(task.id, None)


def _rewrite(state: State, task_id: str, seq: int) -> None:
    """Note that the history, which may have the task's end, follows later."""
    state.rewritten[task_id] = seq
    state.rewritten.move_to_end(task_id)
    if len(state.rewritten) > REWRITTEN_MAX:
        _, state.rewritten_dropped = state.rewritten.popitem(last=False)


def _deleted(state: State, event: ev.TaskDeleted, fact: ev.Fact) -> None:
    task = state.tasks.get(event.id)
    if task is None or task.status in TERMINAL or event.id in state.rewritten:
        _rewrite(state, event.id, fact.seq)
    if task is None:
        # It was retired: only the history holds it, and follows this fact.
        return
    if task.status is Status.PENDING:
        _dequeue(state, task)
    elif task.status is Status.RUNNING:
        let_go(state, task, fact.seq)
    _wait_no_more(state, task)
    _drop(state, task)
    doom(state, task.id)


def _retired(state: State, event: ev.TasksRetired, fact: ev.Fact) -> None:
    state.changed += event.ids
    for task_id in event.ids:
        task = state.tasks.get(task_id)
        if task is None:
            # Its facts were erased: folded from the beginning, the state never had it.
            continue
        status = task.status.value  # a plain string: a snapshot's keys are JSON
        state.retired[status] = state.retired.get(status, 0) + 1
        # The history has its newest end, or it would not leave: what is noted here and not in memory was deleted.
        state.rewritten.pop(task_id, None)
        _drop(state, task)
    state.retired_through = event.through_seq


def _on_record_only(state: State, event: ev.FactsErased | ev.Erased, fact: ev.Fact) -> None:
    """What was erased had left the state before, so nothing of it changes."""


def _quota_set(state: State, event: ev.QuotaSet, fact: ev.Fact) -> None:
    if event.limits or event.weight != 1.0:
        state.quotas[event.id] = Quota(dict(event.limits), event.weight)
    else:
        state.quotas.pop(event.id, None)


APPLY: dict[type[Any], Callable[[State, Any, ev.Fact], None]] = {
    ev.TaskSubmitted: _submitted,
    ev.TaskReleased: _released,
    ev.TaskAssigned: _assigned,
    ev.TaskProgressed: _progressed,
    ev.TaskOutlasted: _outlasted,
    ev.TaskRequeued: _requeued,
    ev.TaskCompleted: _completed,
    ev.TaskFailed: _failed,
    ev.TaskCancelled: _cancelled,
    ev.TaskEdited: _edited,
    ev.TaskDeleted: _deleted,
    ev.TasksRetired: _retired,
    ev.QuotaSet: _quota_set,
    ev.FactsErased: _on_record_only,
    ev.Erased: _on_record_only,
    **WORKER_FACTS,
    **ACCOUNT_FACTS,
    **PROJECT_FACTS,
}

# Their `id` is a task's.
ABOUT_A_TASK = frozenset({
    ev.TaskSubmitted, ev.TaskReleased, ev.TaskAssigned, ev.TaskProgressed, ev.TaskOutlasted, ev.TaskRequeued,
    ev.TaskCompleted, ev.TaskFailed, ev.TaskCancelled, ev.TaskEdited, ev.TaskDeleted,
})  # fmt: skip
