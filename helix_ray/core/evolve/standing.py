"""Changes the status of a task, and the queues, counts and indexes that depend on it."""

from __future__ import annotations

from helix_ray.core import events as ev
from helix_ray.core.blocking import level_of, place_of
from helix_ray.core.evolve.causes import unindex_failed
from helix_ray.core.evolve.places import forget_inherited, note_released
from helix_ray.core.evolve.workers import let_go, unblock
from helix_ray.core.execution import fold
from helix_ray.core.left import Left
from helix_ray.core.lifecycle import TERMINAL, Status, move
from helix_ray.core.models import used_reference
from helix_ray.core.ready_queue import ReadyQueue
from helix_ray.core.state import (
    DRAIN_SLICE_S,
    DRAIN_SLICES,
    GONE_REMEMBERED,
    NOTHING,
    State,
    Task,
    project_of,
)

# How many rewritten endings are remembered; a history that is further behind cannot answer.
REWRITTEN_MAX = 10_000
# The error for the dependents of a task that will not complete; they pass it on to their own dependents.
DOOMS = frozenset({"dependency_failed", "dependency_cancelled", "dependency_deleted"})


def enqueue(state: State, task: Task, *, first: bool = False) -> None:
    """Add a pending task to its queue, for the scheduler or an external worker's heartbeat; one that others
    are blocked on comes first."""
    line_up(state, task, first=first or task.id in state.blocking)


def line_up(state: State, task: Task, *, first: bool) -> None:
    """Add a task to its queue at the end of its level, or at the front."""
    queue = state.ready.get(task.task_class)
    if queue is None:
        queue = state.ready[task.task_class] = ReadyQueue()
    queue.add(task.id, level_of(state, task), place_of(state, task), first=first)


def dequeue(state: State, task: Task) -> None:
    """Remove a task from its queue."""
    state.delayed.pop(task.id, None)
    queue = state.ready.get(task.task_class)
    if queue is not None:
        queue.discard(task.id, level_of(state, task))
        if not queue.size:
            del state.ready[task.task_class]


def shift(state: State, task: Task, fact: ev.Fact) -> None:
    """Fold a fact into a task's record, and update the counts and queues that depend on its status.

    Raises IllegalMove where the task's status does not allow the fact.
    """
    before, had_ended = task.status, task.finished_seq
    status = move(before, type(fact.event).__name__)
    if before is Status.PENDING:
        dequeue(state, task)
    if before is Status.RUNNING and status is not Status.RUNNING:
        let_go(state, task, fact)
    fold(task, fact)
    state.by_status[before] -= 1
    state.by_status[status] += 1
    if task.finished_seq:
        state.finished[task.id] = fact.seq
        forget_inherited(state, task.id)
        end_blocks_on(state, task.id)
        state.deadlines.pop(task.id, None)
        count_unfinished(state, task, -1)
        _count_ending(state, fact.at)
    elif had_ended:
        state.finished.pop(task.id, None)
        count_unfinished(state, task, 1)


def end_blocks_on(state: State, task_id: str) -> None:
    """Record that a task which others are blocked on has ended. Those that wait for nothing else go on, and
    hold their CPUs again: nothing else is placed there before they say so themselves."""
    for waiter_id in state.blocking.pop(task_id, ()):
        waiter = state.tasks[waiter_id]
        state.changed.append(waiter_id)
        block = waiter.block
        if block is None:
            continue
        block.on.discard(task_id)
        if block.until == "any" or (block.until == "all" and not block.on):
            unblock(state, waiter)


def count_unfinished(state: State, task: Task, change: int) -> None:
    """Count the unfinished tasks of a project, and of a version of a model."""
    project = task.task_class.project
    left = state.unfinished.get(project, 0) + change
    if left:
        state.unfinished[project] = left
    else:
        del state.unfinished[project]
    used = used_reference(task.run)
    if used is not None:
        left = state.model_uses.get(used, 0) + change
        if left:
            state.model_uses[used] = left
        else:
            del state.model_uses[used]


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
    """Index a waiting task by its dependencies."""
    for name in task.waits_for:
        state.dependents.setdefault(name, {})[task.id] = None


def wait_no_more(state: State, task: Task) -> None:
    """Remove a task from the index of waiting tasks."""
    state.freed.pop(task.id, None)
    for name in task.waits_for:
        waiting = state.dependents[name]
        del waiting[task.id]
        if not waiting:
            del state.dependents[name]
            state.doomed.pop(name, None)
    note_released(state, task.waits_for)
    task.waits_for = NOTHING


def doom(state: State, task_id: str) -> None:
    """Record a task with dependents that will not complete, and the error for them."""
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
    """Index a task's deadline, if it has one."""
    deadline = task.spec.get("deadline")
    if deadline is not None:
        state.deadlines[task.id] = deadline


def drop(state: State, task: Task) -> None:
    """Remove a task from memory and from the counts."""
    unindex_failed(state, task)
    del state.tasks[task.id]
    forget_inherited(state, task.id)
    state.restored.pop(task.id, None)
    state.by_status[task.status] -= 1
    if task.status not in TERMINAL:
        count_unfinished(state, task, -1)
    state.finished.pop(task.id, None)
    state.deadlines.pop(task.id, None)
    state.gone[task.id] = Left(
        task.owner, task.holder, project_of(task), task.spec["type"], task.spec.get("labels") or {},
        task.status.value, task.spec["title"],
    )  # fmt: skip
    if len(state.gone) > GONE_REMEMBERED:
        state.gone.popitem(last=False)


def rewrite(state: State, task_id: str, seq: int) -> None:
    """Record that the task's ending in the history is out of date."""
    first, _ = state.rewritten.get(task_id, (seq, seq))
    state.rewritten[task_id] = (first, seq)
    state.rewritten.move_to_end(task_id)
    if len(state.rewritten) > REWRITTEN_MAX:
        _, (_, state.rewritten_dropped) = state.rewritten.popitem(last=False)
