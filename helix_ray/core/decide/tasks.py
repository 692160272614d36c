"""Orders about one task by users and external workers: update, cancel, delete; and archiving."""

from __future__ import annotations

from helix_ray.core.access import in_scope
from helix_ray.core.decide.attempts import clamp, conclude, progress
from helix_ray.core.decide.demands import unplaceable
from helix_ray.core.decide.endings import Endings
from helix_ray.core.decide.late import over, refuse_late, refuse_unseen
from helix_ray.core.decide.outcome import Context, Decider, Decision
from helix_ray.core.decide.quotas import refuse_edited
from helix_ray.core.decide.retry import retry
from helix_ray.core.decide.standing import standing
from helix_ray.core.decide.visible import changeable, operable, visible
from helix_ray.core.errors import Rejected, conflict, forbidden, invalid
from helix_ray.core.events import (
    Event,
    TaskAssigned,
    TaskCompleted,
    TaskDeleted,
    TaskEdited,
    TaskFailed,
    TaskMarked,
    TaskProgressed,
    TaskRequeued,
    TasksRetired,
)
from helix_ray.core.families import is_sharded
from helix_ray.core.lifecycle import TERMINAL, Status, after
from helix_ray.core.membership import refuse_use
from helix_ray.core.names import shard_id
from helix_ray.core.orders import ArchiveTasks, AttemptReport, CancelTask, DeleteTask, RetryTask, UpdateTask
from helix_ray.core.orders.kind import IdData
from helix_ray.core.orders.tasks import ArchivedData, StandingData
from helix_ray.core.spec_shape import malformed
from helix_ray.core.state import Task, demand_of

EDITABLE_WHILE_RUNNING = frozenset({"title", "description", "priority", "project_id", "labels"})
EDITABLE_WITH_SHARDS = frozenset({"title", "description"})
# A task's run and its dependencies cannot be edited: they were checked at the submit.
EDITABLE = EDITABLE_WHILE_RUNNING | {
    "type", "resources", "required_capabilities", "max_retries", "retry_backoff_s", "timeout_s", "deadline",
}  # fmt: skip


def is_lease_holder(ctx: Context, task: Task) -> bool:
    """Say whether the caller owns the external worker that has leased the task."""
    worker = ctx.state.workers.get(task.worker or "")
    if worker is None or task.id in ctx.state.orphans:
        return False
    return worker.kind == "external" and worker.owner == ctx.order.by.id


# The facts by which somebody sets a status by hand, and the status after each.
_MARKS: tuple[type[Event], ...] = (TaskAssigned, TaskCompleted, TaskFailed, TaskRequeued)
_MARKED = {kind: status.value for kind in _MARKS if (status := after(kind.__name__)) is not None}


def update(body: UpdateTask, ctx: Context) -> Decision[StandingData] | Rejected:
    """Apply edits, then progress, then a status; all of them or none."""
    task = visible(ctx, body.task_id)
    if isinstance(task, Rejected):
        known = ctx.task(body.task_id)
        return (refuse_unseen(known, body, ctx) if known is not None else None) or task
    late = refuse_late(task, body, ctx)
    if late is not None:
        return late
    holder = is_lease_holder(ctx, task)
    # The worker that runs a task may report on it; editing it takes the right to change it.
    if body.edits or not holder:
        find = operable if _only_operates(body) else changeable
        allowed = find(ctx, body.task_id)
        if isinstance(allowed, Rejected):
            return allowed
    facts: list[Event] = []
    for step in (_edits, _progress, _status):
        events = step(task, body, ctx, holder)
        if isinstance(events, Rejected):
            return events
        facts.extend(events)
    return Decision([*_marks(task, body, facts, holder), *facts], standing(task, facts, ctx.now))


def _marks(task: Task, body: UpdateTask, facts: list[Event], holder: bool) -> list[Event]:
    """Return the fact that says who has set a status, where it was no worker's report: the audit has a record
    of it, and of a cancel anyway."""
    if holder or body.status == "cancelled":
        return []
    status = next((_MARKED[type(fact)] for fact in facts if type(fact) in _MARKED), None)
    return [] if status is None else [TaskMarked(task.id, status)]


def _only_operates(body: UpdateTask) -> bool:
    """Say whether an update does no more than cancel a task, or change its priority."""
    reports = (body.progress, body.result, body.error, body.attempt, body.worker_id)
    if any(report is not None for report in reports):
        return False
    return body.status in (None, "cancelled") and set(body.edits) <= {"priority"}


def _edits(task: Task, body: UpdateTask, ctx: Context, holder: bool) -> list[Event] | Rejected:
    if not body.edits:
        return []
    if task.status in TERMINAL:
        return conflict(f"A {task.status} task cannot be edited", status=task.status)
    if is_sharded(task) and set(body.edits) - EDITABLE_WITH_SHARDS:
        return conflict(
            "These fields cannot be changed once the task's shards have been created",
            allowed_values=sorted(EDITABLE_WITH_SHARDS),
        )
    unknown = sorted(set(body.edits) - EDITABLE)
    if unknown:
        return invalid("These fields cannot be changed", fields=unknown, allowed_values=sorted(EDITABLE))
    if "project_id" in body.edits and not in_scope(ctx.order.by, body.edits["project_id"]):
        return forbidden("This token is not valid for this project", field="project_id")
    refusal = malformed({**task.spec, **body.edits})
    if refusal is not None:
        return refusal
    refusal = refuse_use(ctx.state, ctx.order.by, body.edits.get("project_id"))
    if refusal is not None:
        return refusal
    if task.status is Status.RUNNING:
        fixed = sorted(set(body.edits) - EDITABLE_WHILE_RUNNING)
        if fixed:
            return conflict("These fields cannot be changed while the task is running", fields=fixed)
    if body.edits.get("type", task.spec["type"]) not in ctx.policy.task_types:
        return invalid("Invalid task type", field="type", allowed_values=list(ctx.policy.task_types))
    if task.run is not None and "resources" in body.edits:
        refusal = unplaceable(demand_of(body.edits["resources"]), ctx)
        if refusal is not None:
            return refusal
    return refuse_edited(ctx, task, body.edits) or [TaskEdited(task.id, body.edits)]


def _progress(task: Task, body: UpdateTask, ctx: Context, holder: bool) -> list[Event] | Rejected:
    if body.progress is None or body.status in ("completed", "failed", "cancelled"):
        return []
    if task.run is not None and not holder:
        return conflict(
            "Only the node that runs this task can report its progress",
            status=task.status,
            assigned_worker=task.worker,
        )
    if task.status is Status.RUNNING:
        return progress(task, body.progress, None)
    if task.status in TERMINAL:
        return conflict(f"Progress cannot be set on a {task.status} task", **over(task))
    if body.status == "running" or (task.status is Status.PENDING and body.status is None):
        # A user who reports progress on a pending task has taken it.
        taken: list[Event] = [TaskAssigned(task.id, task.attempt + 1, None)]
        if body.progress > 0:
            taken.append(TaskProgressed(task.id, task.attempt + 1, clamp(body.progress)))
        return taken
    return conflict(f"Progress cannot be set on a {task.status} task", status=task.status)


def _status(task: Task, body: UpdateTask, ctx: Context, holder: bool) -> list[Event] | Rejected:
    wanted = body.status
    if wanted is None:
        return []
    if wanted == task.status and _may_repeat(task, holder):
        return []
    if wanted == "cancelled":
        return _cancel_events(task, "cancelled by request", ctx)
    if task.status in TERMINAL:
        return conflict(f"A {task.status} task cannot be set to {wanted}", wanted=wanted, **over(task))
    if task.status is Status.WAITING:
        message = f"A {task.status} task cannot be set to {wanted} while its dependencies are unfinished"
        return conflict(message, status=task.status, wanted=wanted)
    if holder:
        return _by_holder(task, body, ctx)
    if task.run is not None or task.worker is not None:
        return conflict(
            "Only the worker that runs this task can set its status",
            status=task.status,
            wanted=wanted,
            assigned_worker=task.worker,
        )
    return _by_person(task, body, ctx)


def _may_repeat(task: Task, holder: bool) -> bool:
    """Say whether the task has the status already; a repeated report of another
    worker's ending is too late."""
    return task.status not in (Status.COMPLETED, Status.FAILED) or holder or task.worker is None


def _by_holder(task: Task, body: UpdateTask, ctx: Context) -> list[Event] | Rejected:
    if body.status == "pending":
        return [TaskRequeued(task.id, task.attempt, "returned")]
    if body.status not in ("completed", "failed"):
        return conflict(
            f"A {task.status} task cannot be set to {body.status}", status=task.status, wanted=body.status
        )
    item = AttemptReport(
        task.id,
        task.attempt,
        body.status,
        body.result,
        body.error,
        duration_s=ctx.now - (task.started_at or ctx.now),
    )
    endings = Endings(ctx.state, ctx.now, ctx.policy.spread_tasks_max)
    conclude(task, item, ctx, endings)
    return endings.events


def _by_person(task: Task, body: UpdateTask, ctx: Context) -> list[Event] | Rejected:
    endings = Endings(ctx.state, ctx.now, ctx.policy.spread_tasks_max)
    if body.status == "completed":
        endings.complete(task, body.result)
        return endings.events
    if body.status == "failed":
        endings.fail(task, body.error or {"reason": "failed", "message": "marked as failed"}, body.result)
        return endings.events
    if body.status == "running":
        # _progress has taken the task already when the same request carried progress.
        return [] if body.progress is not None else [TaskAssigned(task.id, task.attempt + 1, None)]
    if body.status == "pending":
        return [TaskRequeued(task.id, task.attempt, "returned")]
    return conflict(
        f"A {task.status} task cannot be set to {body.status}", status=task.status, wanted=body.status
    )


def _cancel_events(task: Task, reason: str, ctx: Context) -> list[Event] | Rejected:
    if task.status in TERMINAL:
        return conflict(f"A {task.status} task cannot be cancelled", status=task.status)
    endings = Endings(ctx.state, ctx.now, ctx.policy.spread_tasks_max)
    endings.cancel(task, reason)
    return endings.events


def cancel(body: CancelTask, ctx: Context) -> Decision[StandingData] | Rejected:
    """Cancel a task: its attempt number becomes invalid at once, and its worker is told to stop."""
    task = operable(ctx, body.task_id)
    if isinstance(task, Rejected):
        return task
    if task.status is Status.CANCELLED:
        return Decision([], standing(task, [], ctx.now))
    events = _cancel_events(task, body.reason, ctx)
    return events if isinstance(events, Rejected) else Decision(events, standing(task, events, ctx.now))


def delete(body: DeleteTask, ctx: Context) -> Decision[IdData] | Rejected:
    """Delete a task; tasks that depend on it fail. An archived task is deleted from the history."""
    task = changeable(ctx, body.task_id)
    if isinstance(task, Rejected):
        return task
    endings = Endings(ctx.state, ctx.now, ctx.policy.spread_tasks_max)
    endings.delete(task)
    count = task.spec["shards"]["count"] if is_sharded(task) else 0
    return Decision([*_shards_elsewhere(task.id, count, ctx), *endings.events], {"id": task.id})


def _shards_elsewhere(parent_id: str, count: int, ctx: Context) -> list[Event]:
    """Return the deletions of shards that were archived before their parent."""
    ids = (shard_id(parent_id, index) for index in range(count))
    return [TaskDeleted(each) for each in ids if each not in ctx.state.tasks]


def archive(body: ArchiveTasks, ctx: Context) -> Decision[ArchivedData]:
    """Archive the oldest finished tasks in the order in which they finished, up to both limits."""
    ids: list[str] = []
    through = 0
    for task_id, seq in ctx.state.finished.items():
        task = ctx.state.tasks[task_id]
        if (
            len(ids) >= body.limit
            # Its dependents must fail first, and their error names its ending.
            or task_id in ctx.state.doomed
            or seq > body.through_seq
            or (task.finished_at or 0.0) > body.finished_before
        ):
            break
        ids.append(task_id)
        through = seq
    if not ids:
        return Decision([], {"archived": 0})
    return Decision([TasksRetired(ids, through)], {"archived": len(ids)})


TASK_ORDERS: dict[type, Decider] = {
    UpdateTask: update,
    CancelTask: cancel,
    RetryTask: retry,
    DeleteTask: delete,
    ArchiveTasks: archive,
}
