"""RetryTask: queues a failed or cancelled task again, alone or with the tasks that failed because of it.

It works the same for archived tasks: the order contains their records (Order.recalled). Where a
record is missing, the answer is NotInMemory with the ids, and the plane sends the order again with
them. So a retry takes rounds:

    1. the task itself, where it is not in memory
    2. its dependencies and its shards; the tasks that failed because of it, those because of them, ...
    3. everything is known: one commit restores, queues again and defers

A dependant is queued again together with all its dependencies, or not at all: the receipt says why. The
receipt lists tasks in the order in which they were found, the nearest first.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import cast

from helix_ray.core.decide.model_runs import refuse_gone
from helix_ray.core.decide.outcome import Context, Decision
from helix_ray.core.decide.quotas import refuse_full_queue, refuse_over_quota
from helix_ray.core.decide.recalling import not_in_memory, unasked
from helix_ray.core.decide.standing import standing
from helix_ray.core.decide.visible import changeable
from helix_ray.core.errors import ErrorCode, NotInMemory, Rejected, conflict
from helix_ray.core.events import Event, TaskDeferred, TaskRequeued, TaskRestored
from helix_ray.core.evolve.causes import cause_of
from helix_ray.core.families import is_sharded
from helix_ray.core.lifecycle import TERMINAL, Status
from helix_ray.core.membership import refuse_use
from helix_ray.core.names import shard_id
from helix_ray.core.orders import RetryTask
from helix_ray.core.orders.recalled import Lost
from helix_ray.core.orders.tasks import RetriedData
from helix_ray.core.spec_shape import malformed
from helix_ray.core.state import Task
from helix_ray.core.visibility import changes, record_of, sees
from helix_ray.core.weight import tasks_of

_LOST: dict[Lost, str] = {
    "gone": "What this task runs is not kept any more: submit it again",
    "too_large": "One retry does not carry so much: retry this task by itself",
}
RETRIED = (Status.FAILED, Status.CANCELLED)


@dataclass(slots=True)
class _Plan:
    """What an order queues again: for each task its shards, and the tasks for which it waits."""

    shards: dict[str, list[Task]] = field(default_factory=dict)
    waits: dict[str, list[str]] = field(default_factory=dict)


def retry(body: RetryTask, ctx: Context) -> Decision[RetriedData] | Rejected:
    """Queue a task again with a new count of retries. With `dependants` the receipt has
    `queued` and `not_queued`."""
    task = changeable(ctx, body.task_id)
    if isinstance(task, Rejected):
        return task
    if task.status not in RETRIED:
        return conflict(
            f"Only failed and cancelled tasks can be retried; this one is {task.status}", status=task.status
        )
    refusal = refuse_use(ctx.state, ctx.order.by, task.spec.get("project_id"))
    if refusal is not None:
        return refusal
    found = {task.id: task}
    if body.dependants:
        found |= _because_of(task, ctx)
    if (missing := _missing(found, body.dependants, ctx)) is not None:
        return missing
    wanted, left_out = _allowed(task, found, ctx)
    plan = _Plan()
    while (refused := _next_refused(wanted, plan, ctx)) is not None:
        if refused[0] == task.id:
            return refused[1]
        # Its dependants are examined again without it.
        del wanted[refused[0]]
        left_out[refused[0]] = refused[1]
        plan = _Plan()
    events = _events(wanted.values(), plan, ctx)
    refusal = _no_room(wanted.values(), plan, ctx)
    if refusal is not None:
        return refusal
    data = cast("RetriedData", standing(task, events, ctx.now))
    if body.dependants:
        data["queued"] = list(wanted)
        data["not_queued"] = [
            {"id": name, "code": why.code.value, "message": why.message, "details": why.details}
            for name, why in left_out.items()
        ]
    return Decision(events, data)


def _because_of(root: Task, ctx: Context) -> dict[str, Task]:
    """Return the tasks that failed because of a task, directly or not, the nearest first."""
    recalled = ctx.order.recalled
    by_cause: dict[str, list[str]] = {}
    for other in recalled.tasks.values() if recalled is not None else ():
        cause = cause_of(other) if other is not None and ctx.task(other.id) is other else None
        if other is not None and cause is not None:
            by_cause.setdefault(cause, []).append(other.id)
    found: dict[str, Task] = {}
    causes = [root.id]
    for cause in causes:
        for name in (*ctx.state.failed_by.get(cause, ()), *by_cause.get(cause, ())):
            other = ctx.task(name)
            if other is not None and name not in found and name != root.id:
                found[name] = other
                causes.append(name)
                if len(found) > ctx.policy.retry_tasks_max:
                    return found
    return found


def _missing(found: dict[str, Task], dependants: bool, ctx: Context) -> NotInMemory | None:
    """Return the tasks that must be recalled from the history before a decision."""
    needed: dict[str, None] = {}
    for task in found.values():
        needed |= dict.fromkeys(task.spec.get("depends_on") or ())
        needed |= dict.fromkeys(shard_id(task.id, i) for i in _shards_not_done(task))
    ids = unasked(ctx, needed)
    if not ids and not (dependants and _unasked_causes(found, ctx)):
        return None
    refusal = conflict("The tasks that it depends on are archived, and the history is not available")
    return not_in_memory(ctx, refusal, ids, found if dependants else ())


def _unasked_causes(found: dict[str, Task], ctx: Context) -> list[str]:
    """Return the tasks whose dependants the history may have, and was not asked for yet."""
    if not ctx.state.archived_through:
        return []
    recalled = ctx.order.recalled
    return [name for name in found if recalled is None or name not in recalled.causes]


def _shards_not_done(task: Task) -> list[int]:
    count = task.spec["shards"]["count"] if is_sharded(task) else 0
    return [index for index in range(count) if str(index) not in task.shard_results]


def _allowed(root: Task, found: dict[str, Task], ctx: Context) -> tuple[dict[str, Task], dict[str, Rejected]]:
    """Return the tasks that the caller may queue again within the limit, and why not the others; tasks that
    they may not see are not mentioned."""
    wanted: dict[str, Task] = {}
    left_out: dict[str, Rejected] = {}
    room = ctx.policy.retry_tasks_max
    for task in found.values():
        if not sees(ctx.order.by, record_of(task)):
            continue
        why = None if task is root else _refused_dependant(task, room, ctx)
        if why is None:
            wanted[task.id] = task
            room -= tasks_of(task.spec)
        else:
            left_out[task.id] = why
    return wanted, left_out


def _refused_dependant(task: Task, room: int, ctx: Context) -> Rejected | None:
    if not changes(ctx.order.by, record_of(task)):
        return Rejected(ErrorCode.FORBIDDEN, "You can read this task but cannot change it", {"id": task.id})
    if tasks_of(task.spec) > room:
        limit = ctx.policy.retry_tasks_max
        message = f"One retry queues at most {limit} tasks: retry this one by itself"
        return conflict(message, id=task.id, retry_tasks_max=limit)
    return refuse_use(ctx.state, ctx.order.by, task.spec.get("project_id"))


def _next_refused(wanted: dict[str, Task], plan: _Plan, ctx: Context) -> tuple[str, Rejected] | None:
    """Fill the plan; return the first task that cannot be queued again, and why."""
    for task in wanted.values():
        waits = _waits_of(task, wanted, ctx)
        shards = waits if isinstance(waits, Rejected) else _shards_again(task, ctx)
        if isinstance(waits, Rejected):
            return task.id, waits
        if isinstance(shards, Rejected):
            return task.id, shards
        why = _unrestorable((task, *shards), ctx)
        if why is not None:
            return task.id, conflict(why, id=task.id, status=task.status)
        gone = refuse_gone(task.run, ctx)
        if gone is not None:
            return task.id, gone
        plan.waits[task.id], plan.shards[task.id] = waits, shards
    return None


def _unrestorable(tasks: Iterable[Task], ctx: Context) -> str | None:
    """Return why archived tasks cannot be restored; None where they can, or are in memory."""
    recalled = ctx.order.recalled
    for task in tasks:
        if recalled is None or task.id in ctx.state.tasks:
            continue
        if task.id in recalled.lost:
            return _LOST[recalled.lost[task.id]]
        spec = {name: value for name, value in task.spec.items() if name != "shard"}
        if malformed(spec) is not None or task.status not in RETRIED:
            return "It cannot be taken in again as it is: submit it again"
    return None


def _waits_of(task: Task, wanted: dict[str, Task], ctx: Context) -> list[str] | Rejected:
    """Return the tasks for which a task waits when it is queued again: those queued with
    it, and unfinished ones."""
    waits: list[str] = []
    for name in task.spec.get("depends_on") or ():
        other = ctx.task(name)
        # An unknown task was deleted on request.
        if other is None or other.status is Status.COMPLETED:
            continue
        if name not in wanted and other.status in TERMINAL:
            return conflict(
                f"The task depends on {name}, which is {other.status}", id=name, status=other.status
            )
        waits.append(name)
    return waits


def _shards_again(task: Task, ctx: Context) -> list[Task] | Rejected:
    """Return the shards of a task that are queued again with it."""
    again: list[Task] = []
    for index in _shards_not_done(task):
        shard = ctx.task(shard_id(task.id, index))
        if shard is None:
            return conflict(
                "Some shards of this task have been archived and are gone: submit the task again",
                status=task.status,
            )
        if shard.status in RETRIED:
            again.append(shard)
    return again


def _no_room(wanted: Iterable[Task], plan: _Plan, ctx: Context) -> Rejected | None:
    """Refuse everything where the queue, or a project's quota, has no room for all of it."""
    more: dict[str, int] = {}
    refusal = refuse_full_queue(ctx, sum(1 + len(shards) for shards in plan.shards.values()))
    for task in wanted:
        project = task.task_class.project
        more[project] = more.get(project, 0) + 1 + len(plan.shards[task.id])
        refusal = refusal or refuse_over_quota(ctx, task.task_class, more[project])
    return refusal


def _events(wanted: Iterable[Task], plan: _Plan, ctx: Context) -> list[Event]:
    """Return the facts: all tasks are queued again before any of them waits for another."""
    requeued: list[Event] = []
    deferred: list[Event] = []
    for task in wanted:
        for each in (task, *plan.shards[task.id]):
            leases = [list(lease) for lease in each.leases] or None
            if each.id not in ctx.state.tasks:
                requeued.append(_restored(each))
                leases = None
            requeued.append(TaskRequeued(each.id, each.attempt, "manual", leases=leases))
            if plan.waits[task.id]:
                deferred.append(TaskDeferred(each.id, plan.waits[task.id]))
    return [*requeued, *deferred]


def _restored(task: Task) -> TaskRestored:
    return TaskRestored(
        task.id, task.owner, task.spec, task.status.value, task.seq, task.created_at, task.finished_seq,
        task.finished_at or task.updated_at, task.attempt, [list(lease) for lease in task.leases],
        dict(task.shard_results),
    )  # fmt: skip
