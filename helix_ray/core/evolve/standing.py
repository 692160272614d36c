"""Where a task stands: its status, and the queues, counts and indexes that follow from it."""

from __future__ import annotations

from helix_ray.core import events as ev
from helix_ray.core.evolve.causes import unindex_failed
from helix_ray.core.evolve.workers import let_go
from helix_ray.core.execution import fold
from helix_ray.core.lifecycle import TERMINAL, Status, move
from helix_ray.core.state import (
    DRAIN_SLICE_S,
    DRAIN_SLICES,
    GONE_REMEMBERED,
    ReadyQueue,
    State,
    Task,
    project_of,
)

# Ends that a history which is behind still tells; one that is further behind than that does not respond.
REWRITTEN_MAX = 10_000
# What a task is told when one that it waits for will not be completed; it tells the same to those
# that wait for it.
DOOMS = frozenset({"dependency_failed", "dependency_cancelled", "dependency_deleted"})


def enqueue(state: State, task: Task, *, first: bool = False) -> None:
    """Put a pending task where the scheduler (or an external worker's heartbeat) finds it."""
    queue = state.ready.get(task.task_class)
    if queue is None:
        queue = state.ready[task.task_class] = ReadyQueue()
    queue.add(task.id, task.level, task.created_at, first=first)


def dequeue(state: State, task: Task) -> None:
    """Take a task out of where the scheduler finds it."""
    state.delayed.pop(task.id, None)
    queue = state.ready.get(task.task_class)
    if queue is not None:
        queue.discard(task.id, task.level)
        if not queue.size:
            del state.ready[task.task_class]


def shift(state: State, task: Task, fact: ev.Fact) -> None:
    """Take a fact into a task's record, and keep the counts and queues that follow from its status.

    Raises IllegalMove where the task's status does not allow the fact.
    """
    before, had_ended = task.status, task.finished_seq
    status = move(before, type(fact.event).__name__)
    if before is Status.PENDING:
        dequeue(state, task)
    if before is Status.RUNNING and status is not Status.RUNNING:
        let_go(state, task, fact.seq)
    fold(task, fact)
    state.by_status[before] -= 1
    state.by_status[status] += 1
    if task.finished_seq:
        state.finished[task.id] = fact.seq
        state.deadlines.pop(task.id, None)
        count_unfinished(state, task, -1)
        _count_ending(state, fact.at)
    elif had_ended:
        state.finished.pop(task.id, None)
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


def index_waiting(state: State, task: Task) -> None:
    """Note a waiting task beside every task that it waits for."""
    for name in task.waits_for:
        state.dependents.setdefault(name, {})[task.id] = None


def wait_no_more(state: State, task: Task) -> None:
    """Have a task wait for nothing."""
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


def drop(state: State, task: Task) -> None:
    """Take a task out of memory and out of the counts."""
    unindex_failed(state, task)
    del state.tasks[task.id]
    state.restored.pop(task.id, None)
    state.by_status[task.status] -= 1
    if task.status not in TERMINAL:
        count_unfinished(state, task, -1)
    state.finished.pop(task.id, None)
    state.deadlines.pop(task.id, None)
    state.gone[task.id] = (task.owner, task.holder, project_of(task))
    if len(state.gone) > GONE_REMEMBERED:
        state.gone.popitem(last=False)


def rewrite(state: State, task_id: str, seq: int) -> None:
    """Note that the history, which may have the task's end, follows later."""
    first, _ = state.rewritten.get(task_id, (seq, seq))
    state.rewritten[task_id] = (first, seq)
    state.rewritten.move_to_end(task_id)
    if len(state.rewritten) > REWRITTEN_MAX:
        _, (_, state.rewritten_dropped) = state.rewritten.popitem(last=False)
