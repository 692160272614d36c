"""What happens to attempts: started, reported on, lost, expired. Every report is checked against the fence."""

from __future__ import annotations

from typing import Any

from helix_ray.core.decide.outcome import Context, Decider, Decision
from helix_ray.core.errors import Rejected, not_found
from helix_ray.core.events import (
    Event,
    TaskAssigned,
    TaskCompleted,
    TaskFailed,
    TaskProgressed,
    TaskReleased,
    TaskRequeued,
)
from helix_ray.core.lifecycle import Status
from helix_ray.core.orders import AttemptReport, ExpireTasks, ReleaseTasks, ReportAttempts, StartAttempts
from helix_ray.core.retry import retry_delay_s
from helix_ray.core.state import State, Task


def start(body: StartAttempts, ctx: Context) -> Decision:
    """Lease attempts; pairs that no longer hold are left out and counted in `stale`."""
    decision = Decision()
    tasks, workers, delayed = ctx.state.tasks, ctx.state.workers, ctx.state.delayed
    started: set[str] = set()
    for task_id, worker_id in body.pairs:
        task, worker = tasks.get(task_id), workers.get(worker_id)
        if task is None or task.status is not Status.PENDING or task_id in started or task_id in delayed:
            continue
        if worker is None or worker.lost or worker.draining or task.run is None:
            continue
        started.add(task_id)
        decision.events.append(TaskAssigned(task_id, task.attempt + 1, worker_id))
    decision.data["stale"] = len(body.pairs) - len(started)
    return decision


def report(body: ReportAttempts, ctx: Context) -> Decision | Rejected:
    """Take a node worker's reports; the receipt lists in `stale` the indexes that came too late."""
    worker = ctx.state.workers.get(body.worker_id)
    if worker is None:
        return not_found("Worker", body.worker_id)
    decision = Decision(data={"stale": []})
    ended: set[str] = set()
    completed: set[str] = set()
    reached: dict[str, float] = {}
    for i, item in enumerate(body.reports):
        task = ctx.state.tasks.get(item.task_id)
        late = task is None or item.task_id in ended or not _current(task, item.attempt, body.worker_id)
        if task is None or late or worker.boot != body.boot:
            if not (late and _told_before(task, item)):
                decision.data["stale"].append(i)
        elif item.outcome == "progressed":
            percent = max(item.progress or 0.0, reached.get(item.task_id, 0.0))
            reached[item.task_id] = percent
            decision.events.extend(progress(task, percent, item.note))
        else:
            ended.add(item.task_id)
            decision.events.extend(conclude(task, item, ctx, completed))
    decision.events = first_endings(decision.events)
    return decision


def _current(task: Task, attempt: int, worker_id: str) -> bool:
    return task.status is Status.RUNNING and task.attempt == attempt and task.worker == worker_id


def _told_before(task: Task | None, item: AttemptReport) -> bool:
    """A report repeated because its acknowledgement was lost is no news and no error."""
    return task is not None and task.status == item.outcome and task.attempt == item.attempt


def progress(task: Task, percent: float, note: str | None) -> list[Event]:
    """Record progress, from 0 to 100; within one attempt it never goes back."""
    percent = clamp(percent)
    if percent <= task.progress and (note is None or note == task.note):
        return []
    return [TaskProgressed(task.id, task.attempt, max(task.progress, percent), note)]


def clamp(percent: float) -> float:
    """Return a percentage between 0 and 100; what is not a number is 0."""
    return min(100.0, max(0.0, percent))


def first_endings(events: list[Event]) -> list[Event]:
    """Drop what an order says of a task after it has ended it: two lost dependencies fail a dependent once."""
    ended: set[str] = set()
    kept: list[Event] = []
    for event in events:
        if isinstance(event, (TaskFailed, TaskCompleted, TaskReleased)):
            if event.id in ended:
                continue
            ended.add(event.id)
        kept.append(event)
    return kept


def conclude(task: Task, item: AttemptReport, ctx: Context, completed: set[str]) -> list[Event]:
    """End the current attempt as its report says: done, failed for good, or queued again.

    `completed` collects the tasks that this same order completes: their dependents see them as done.
    """
    if item.outcome == "completed":
        completed.add(task.id)
        done: Event = TaskCompleted(task.id, task.attempt, item.result, item.duration_s)
        return [done, *release_dependents(ctx.state, task.id, completed)]
    error = item.error or {"reason": item.outcome, "message": f"attempt {item.outcome}"}
    if item.outcome == "returned":
        return [TaskRequeued(task.id, task.attempt, "returned")]
    if item.outcome == "lost":
        return _lost(task, error, ctx)
    if item.retryable and task.failures < task.spec.get("max_retries", 0):
        delay = retry_delay_s(
            task.spec.get("retry_backoff_s"), task.failures + 1, ctx.policy, ctx.order.seed + task.id
        )
        return [TaskRequeued(task.id, task.attempt, "retry", error, ctx.now + delay)]
    return fail(task, error, ctx, item.result, item.duration_s)


def _lost(task: Task, error: dict[str, Any], ctx: Context) -> list[Event]:
    if task.losses >= ctx.policy.losses_max:
        message = f"{error.get('message', 'lost')}; given up after {task.losses + 1} losses"
        return fail(task, {**error, "reason": "lost", "message": message}, ctx)
    # The first loss is most likely a node's; a task that keeps killing its executors comes back ever later.
    delay = (
        0.0 if task.losses == 0 else retry_delay_s(None, task.losses, ctx.policy, ctx.order.seed + task.id)
    )
    return [TaskRequeued(task.id, task.attempt, "lost", error, ctx.now + delay if delay else 0.0)]


def fail(
    task: Task, error: dict[str, Any], ctx: Context, result: Any = None, duration_s: float | None = None
) -> list[Event]:
    """Fail a task for good, and with it the tasks that wait for it."""
    failed: Event = TaskFailed(task.id, task.attempt, error, result, duration_s)
    return [failed, *fail_dependents(ctx.state, task.id, "dependency_failed")]


def release_dependents(state: State, task_id: str, completed: set[str]) -> list[Event]:
    """Queue the tasks that wait for this one and for nothing else that is unfinished."""
    released: list[Event] = []
    for other_id in state.dependents.get(task_id, ()):
        waits_for = state.tasks[other_id].waits_for
        if all(name == task_id or name in completed for name in waits_for):
            released.append(TaskReleased(other_id))
    return released


def fail_dependents(state: State, task_id: str, reason: str) -> list[Event]:
    """Fail every task that waits, directly or not, for one that will not be completed."""
    failed: dict[str, Event] = {}
    open_ids = [task_id]
    while open_ids:
        cause = open_ids.pop()
        for other_id in state.dependents.get(cause, ()):
            if other_id not in failed:
                message = f"it depends on {cause}, which will not be completed"
                error = {"reason": reason, "message": message, "dependency": cause}
                failed[other_id] = TaskFailed(other_id, state.tasks[other_id].attempt, error)
                open_ids.append(other_id)
    return list(failed.values())


def release(body: ReleaseTasks, ctx: Context) -> Decision:
    """Queue delayed tasks whose time has come."""
    due = [
        i for i in dict.fromkeys(body.task_ids) if i in ctx.state.delayed and ctx.state.delayed[i] <= ctx.now
    ]
    return Decision([TaskReleased(i) for i in due])


def expire(body: ExpireTasks, ctx: Context) -> Decision:
    """Fail tasks whose time is over; those that ended, or got more time, meanwhile are left alone."""
    decision = Decision()
    for task_id in dict.fromkeys(body.task_ids):
        task = ctx.state.tasks.get(task_id)
        if task is None or not _over(task, body.reason, ctx):
            continue
        error = {"reason": body.reason, "message": f"the task's {body.reason} has passed"}
        decision.events.extend(fail(task, error, ctx))
    decision.events = first_endings(decision.events)
    return decision


def _over(task: Task, reason: str, ctx: Context) -> bool:
    if reason == "deadline":
        return task.id in ctx.state.deadlines and ctx.state.deadlines[task.id] <= ctx.now
    timeout_s = task.spec.get("timeout_s")
    if task.status is not Status.RUNNING or timeout_s is None or task.started_at is None:
        return False
    return bool(ctx.now - task.started_at > timeout_s)


ATTEMPT_ORDERS: dict[type, Decider] = {
    StartAttempts: start,
    ReportAttempts: report,
    ReleaseTasks: release,
    ExpireTasks: expire,
}
