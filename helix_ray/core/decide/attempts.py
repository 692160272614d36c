"""Decides about attempts: starts, reports, losses, timeouts. Every report is checked
against the fencing number."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

from helix_ray.core.decide.blocked import OUTCOMES, Blocks
from helix_ray.core.decide.endings import UNFINISHED_PERCENT_MAX, Endings
from helix_ray.core.decide.inheritance import inherited_priorities
from helix_ray.core.decide.outcome import Context, Decider, Decision
from helix_ray.core.decide.shards import parents_started
from helix_ray.core.errors import Rejected, not_found
from helix_ray.core.events import (
    Event,
    TaskAssigned,
    TaskOutlasted,
    TaskProgressed,
    TaskReleased,
    TaskRequeued,
)
from helix_ray.core.families import is_sharded, parent_of, shards_of
from helix_ray.core.lifecycle import Status
from helix_ray.core.orders import (
    AttemptReport,
    ExpireTasks,
    Refusal,
    ReleaseTasks,
    ReportAttempts,
    SpreadEndings,
    StartAttempts,
)
from helix_ray.core.orders.attempts import ReportedData, StartedData
from helix_ray.core.orders.kind import NoData
from helix_ray.core.retry import retry_delay_s
from helix_ray.core.specs import TaskError
from helix_ray.core.state import Task
from helix_ray.core.weight import LINKS_PER_TASK, tasks_of

PARENT_PROGRESS_S = 1.0
"""How often the progress of a parent is recorded while its shards move on, in seconds."""


def start(body: StartAttempts, ctx: Context) -> Decision[StartedData]:
    """Start attempts; pairs that are not valid any more are left out and counted in `stale`,
    with the rest of their gang."""
    pairs = _without_broken_gangs(body.pairs, [_startable(pair, ctx) for pair in body.pairs], ctx)
    preempted = _preempted(body.preempt, ctx) if pairs else []
    return Decision([*preempted, *assignments(pairs, ctx)], {"stale": len(body.pairs) - len(pairs)})


def assignments(pairs: Sequence[tuple[str, str]], ctx: Context) -> list[Event]:
    """Return the assignments of tasks to workers, and of the parents of shards."""
    events = parents_started(ctx.state, [task_id for task_id, _ in pairs])
    tasks = ctx.state.tasks
    events += [TaskAssigned(task_id, tasks[task_id].attempt + 1, worker_id) for task_id, worker_id in pairs]
    return events


def _startable(pair: tuple[str, str], ctx: Context) -> bool:
    task, worker = ctx.state.tasks.get(pair[0]), ctx.state.workers.get(pair[1])
    if task is None or task.status is not Status.PENDING or task.id in ctx.state.delayed:
        return False
    if worker is None or worker.lost or worker.draining:
        return False
    return task.run is not None and not is_sharded(task)


def _without_broken_gangs(
    pairs: Sequence[tuple[str, str]], startable: Sequence[bool], ctx: Context
) -> list[tuple[str, str]]:
    if all(startable) and len({task_id for task_id, _ in pairs}) == len(pairs):
        return list(pairs)
    tasks = ctx.state.tasks
    gang_of = [tasks[task_id].task_class.gang if task_id in tasks else "" for task_id, _ in pairs]
    broken = {gang for gang, good in zip(gang_of, startable, strict=True) if gang and not good}
    kept: dict[str, str] = {}
    for (task_id, worker_id), good, gang in zip(pairs, startable, gang_of, strict=True):
        if good and gang not in broken:
            kept.setdefault(task_id, worker_id)
    return list(kept.items())


def _preempted(victims: Sequence[tuple[str, int]], ctx: Context) -> list[Event]:
    events: list[Event] = []
    for task_id, attempt in dict(victims).items():
        task = ctx.state.tasks.get(task_id)
        if (
            task is not None
            and task.status is Status.RUNNING
            and task.attempt == attempt
            and task.worker is not None
        ):
            error: TaskError = {
                "reason": "preempted",
                "message": "preempted by a more urgent task",
                "worker": task.worker,
            }
            events.append(TaskRequeued(task_id, attempt, "preempted", error))
    return events


def report(body: ReportAttempts, ctx: Context) -> Decision[ReportedData] | Rejected:
    """Take a node worker's reports; the receipt lists in `stale` the indexes that came too late.

    `taken` is how many were processed: not all where their effects exceed the limit of one order.
    """
    worker = ctx.state.workers.get(body.worker_id)
    if worker is None:
        return not_found("Worker", body.worker_id)
    endings = Endings(ctx.state, ctx.now, ctx.policy.spread_tasks_max)
    data: ReportedData = {"stale": [], "taken": len(body.reports)}
    blocks = Blocks(worker, ctx, endings)
    concluded: set[str] = set()
    reached: dict[str, float] = {}
    for i, item in enumerate(body.reports):
        task = ctx.state.tasks.get(item.task_id)
        late = (
            task is None
            or item.task_id in concluded
            or endings.over(task)
            or not _current(task, item.attempt, body.worker_id, ctx)
        )
        if task is None or late or worker.boot != body.boot:
            if not (late and _was_reported(task, item)):
                data["stale"].append(i)
            continue
        if item.outcome in OUTCOMES:
            refused = blocks.refused(task, item)
            if refused is None:
                endings.events.extend(blocks.events(task, item))
                continue
            item = refused
        if item.outcome == "progressed":
            percent = max(item.progress or 0.0, reached.get(item.task_id, 0.0))
            reached[item.task_id] = percent
            endings.events.extend(progress(task, percent, item.note))
        elif item.outcome == "outlasted":
            endings.events.append(TaskOutlasted(task.id, task.attempt, max(0.0, item.duration_s or 0.0)))
        elif endings.spend(_ended_with(task, item, ctx)):
            concluded.add(item.task_id)
            conclude(task, item, ctx, endings)
        else:
            data["taken"] = i
            break
    endings.events.extend(_of_parents(reached, ctx, endings))
    return Decision(endings.events, data, noted=_refused_late(body, data["stale"], ctx))


def _refused_late(body: ReportAttempts, stale: Sequence[int], ctx: Context) -> Sequence[Refusal]:
    """Return the late reports of a node worker as one refusal, for the audit."""
    if not stale:
        return ()
    first = body.reports[stale[0]].task_id
    verb = type(body).__name__
    return [
        Refusal(
            "late_report",
            verb,
            first,
            author=body.worker_id,
            request_id=ctx.order.request_id,
            count=len(stale),
        )
    ]


def _ended_with(task: Task, item: AttemptReport, ctx: Context) -> int:
    """Return how many other tasks a report affects: dependents of a completed task, or all shards of a parent
    when one fails for good."""
    if item.outcome == "completed":
        return len(ctx.state.dependents.get(task.id, ())) // LINKS_PER_TASK
    parent = parent_of(ctx.state, task) if _is_final(task, item, ctx) else None
    return 0 if parent is None else tasks_of(parent.spec)


def _is_final(task: Task, item: AttemptReport, ctx: Context) -> bool:
    """Say whether an attempt that was not completed is the task's last one."""
    if item.outcome == "lost":
        return task.losses >= ctx.policy.losses_max
    return item.outcome != "returned" and not _has_retries(task, item)


def _has_retries(task: Task, item: AttemptReport) -> bool:
    return bool(item.retryable and task.failures < task.spec.get("max_retries", 0))


def _current(task: Task, attempt: int, worker_id: str, ctx: Context) -> bool:
    worker = ctx.state.workers[worker_id]
    return task.status is Status.RUNNING and worker.running.get(task.id) == attempt == task.attempt


def _was_reported(task: Task | None, item: AttemptReport) -> bool:
    """Say whether a report was processed before: its acknowledgement was lost, which is not an error. Nor is
    it one that an attempt waited for other tasks when it was stopped."""
    if item.outcome in OUTCOMES:
        return True
    return task is not None and task.status == item.outcome and task.attempt == item.attempt


def progress(task: Task, percent: float, note: str | None) -> list[Event]:
    """Record progress, from 0 to 100; within one attempt it never decreases."""
    percent = clamp(percent)
    if percent <= task.progress and (note is None or note == task.note):
        return []
    return [TaskProgressed(task.id, task.attempt, max(task.progress, percent), note)]


def _of_parents(reached: Mapping[str, float], ctx: Context, endings: Endings) -> Iterator[Event]:
    """Record the progress of parents whose shards have moved on, at most once in PARENT_PROGRESS_S: shards
    have as many rows each, so that their mean counts rows."""
    found = (parent_of(ctx.state, ctx.state.tasks[task_id]) for task_id in reached)
    for parent in {task.id: task for task in found if task is not None}.values():
        is_moved = parent.status is not Status.RUNNING or endings.moves(parent)
        if is_moved or ctx.now - parent.updated_at < PARENT_PROGRESS_S:
            continue
        percents = (
            100.0 if shard.status is Status.COMPLETED else max(shard.progress, reached.get(shard.id, 0.0))
            for shard in shards_of(ctx.state, parent)
        )
        percent = sum(percents) / parent.spec["shards"]["count"]
        yield from progress(parent, min(percent, UNFINISHED_PERCENT_MAX), None)


def clamp(percent: float) -> float:
    """Return a percentage between 0 and 100; what is not a number is 0."""
    return min(100.0, max(0.0, percent))


def conclude(task: Task, item: AttemptReport, ctx: Context, endings: Endings) -> None:
    """End the current attempt by its report: completed, failed for good, or queued again."""
    if item.outcome == "completed":
        endings.complete(task, item.result, item.duration_s)
        return
    error = item.error or {"reason": item.outcome, "message": f"attempt {item.outcome}"}
    if item.outcome == "returned":
        endings.events.append(TaskRequeued(task.id, task.attempt, "returned"))
    elif item.outcome == "lost":
        _lost(task, error, ctx, endings)
    elif _has_retries(task, item):
        delay = retry_delay_s(
            task.spec.get("retry_backoff_s"), task.failures + 1, ctx.policy, ctx.order.seed + task.id
        )
        endings.events.append(TaskRequeued(task.id, task.attempt, "retry", error, ctx.now + delay))
    else:
        endings.fail(task, error, item.result, item.duration_s)


def _lost(task: Task, error: TaskError, ctx: Context, endings: Endings) -> None:
    if task.losses >= ctx.policy.losses_max:
        message = f"{error.get('message', 'lost')}; gave up after {task.losses + 1} lost attempts"
        endings.fail(task, {**error, "reason": "lost", "message": message})
        return
    # The first loss is most likely caused by the node; a task that keeps killing its executors is
    # delayed more and more.
    delay = (
        0.0 if task.losses == 0 else retry_delay_s(None, task.losses, ctx.policy, ctx.order.seed + task.id)
    )
    not_before = ctx.now + delay if delay else 0.0
    endings.events.append(TaskRequeued(task.id, task.attempt, "lost", error, not_before))


def lose_attempts(running: Iterable[tuple[str, str]], ctx: Context, endings: Endings) -> None:
    """Queue again (or, after too many losses, fail) tasks whose worker is gone, given as (task id, why),
    up to the order's limit."""
    for task_id, why in running:
        task = ctx.state.tasks[task_id]
        if not endings.spend(_tasks_lost_with(task, ctx)):
            break
        if not endings.over(task):
            error: TaskError = {"reason": "lost", "message": why, "worker": task.worker}
            conclude(task, AttemptReport(task_id, task.attempt, "lost", error=error), ctx, endings)


def _tasks_lost_with(task: Task, ctx: Context) -> int:
    """Return how many tasks end if this one is lost once more: its parent fails with all shards."""
    parent = parent_of(ctx.state, task) if task.losses >= ctx.policy.losses_max else None
    return 1 if parent is None else tasks_of(parent.spec)


def release(body: ReleaseTasks, ctx: Context) -> Decision[NoData]:
    """Queue delayed tasks whose time has come."""
    now, delayed = ctx.now + body.set_back_s, ctx.state.delayed
    due = [i for i in dict.fromkeys(body.task_ids) if i in delayed and delayed[i] <= now]
    return Decision([TaskReleased(i) for i in due], {})


def expire(body: ExpireTasks, ctx: Context) -> Decision[NoData]:
    """Fail tasks whose time is over, up to the order's limit; those that have ended or got
    more time are left alone."""
    endings = Endings(ctx.state, ctx.now, ctx.policy.spread_tasks_max)
    for task_id in dict.fromkeys(body.task_ids):
        task = ctx.state.tasks.get(task_id)
        if task is None or endings.over(task) or not _over(task, body, ctx):
            continue
        if not endings.spend(tasks_of(task.spec)):
            # The caller sees that there are more.
            break
        endings.fail(task, {"reason": body.reason, "message": f"the task exceeded its {body.reason}"})
    return Decision(endings.events, {})


def spread(body: SpreadEndings, ctx: Context) -> Decision[NoData]:
    """Continue to propagate endings and lost workers where earlier orders stopped; when none are left, the
    priorities that tasks inherit."""
    endings = Endings(ctx.state, ctx.now, body.tasks_max)
    lose_attempts(ctx.state.orphans.items(), ctx, endings)
    endings.carry_on()
    return Decision(endings.events or inherited_priorities(ctx, body.tasks_max), {})


def _over(task: Task, body: ExpireTasks, ctx: Context) -> bool:
    if body.reason == "deadline":
        return task.id in ctx.state.deadlines and ctx.state.deadlines[task.id] <= ctx.now
    timeout_s = task.spec.get("timeout_s")
    if task.status is not Status.RUNNING or timeout_s is None or task.started_at is None:
        return False
    return bool(ctx.now + body.set_back_s - task.started_at > timeout_s)


ATTEMPT_ORDERS: dict[type, Decider] = {
    StartAttempts: start,
    ReportAttempts: report,
    ReleaseTasks: release,
    ExpireTasks: expire,
    SpreadEndings: spread,
}
