"""Orders about quotas, and refusals because of a quota or a full queue: at submit, and when a task
is moved or queued again."""

from __future__ import annotations

from math import ceil, isfinite
from typing import Any

from helix_ray.core.backpressure import retry_after_s
from helix_ray.core.decide.outcome import Context, Decider, Decision
from helix_ray.core.errors import ErrorCode, Rejected, invalid
from helix_ray.core.events import Event, QuotaSet
from helix_ray.core.lifecycle import TERMINAL
from helix_ray.core.orders import SetQuota
from helix_ray.core.orders.quotas import QuotaData
from helix_ray.core.specs import TaskEdits
from helix_ray.core.state import Task, TaskClass, class_of

WEIGHT_MAX = 1_000_000.0
LIMITS_MAX = 64


def set_quota(body: SetQuota, ctx: Context) -> Decision[QuotaData] | Rejected:
    """Set the limits and the weight of a project; its running tasks continue."""
    if not body.project_id or len(body.project_id) > 128:
        return invalid("Invalid quota project_id", field="project_id")
    if not isfinite(body.weight) or not 0 < body.weight <= WEIGHT_MAX:
        return invalid("Invalid quota weight", field="weight", minimum_above=0, maximum=WEIGHT_MAX)
    if len(body.limits) > LIMITS_MAX:
        return invalid("Too many quota limits", field="limits", limit=LIMITS_MAX)
    for name, amount in body.limits.items():
        if not isfinite(amount) or amount < 0:
            return invalid("Invalid quota limit", field=f"limits.{name}", minimum=0)
    fact: Event = QuotaSet(body.project_id, dict(sorted(body.limits.items())), body.weight)
    data: QuotaData = {"project_id": body.project_id, "limits": body.limits, "weight": body.weight}
    return Decision([fact], data)


def refuse_over_quota(ctx: Context, task_class: TaskClass, more: int) -> Rejected | None:
    """Return why a project cannot have `more` unfinished tasks of a class; None when it can.

    An amount above a limit could never run; above `queued` there is no room at the moment.
    """
    quota = ctx.state.quotas.get(task_class.project)
    if quota is None:
        return None
    for name, amount in (*task_class.demand, ("tasks", 1.0)):
        if amount > quota.limits.get(name, amount):
            details = {"project_id": task_class.project, "asked": amount, "limit": quota.limits[name]}
            return invalid(
                "The task asks for more than its project's quota allows", field=f"resources.{name}", **details
            )
    limit = quota.limits.get("queued")
    queued = ctx.state.unfinished.get(task_class.project, 0)
    if not more or limit is None or queued + more <= limit:
        return None
    details = {"project_id": task_class.project, "queued": queued, "limit": limit}
    return _queue_full(ctx, "The project's queue is full", details, ceil(queued + more - limit))


def refuse_edited(ctx: Context, task: Task, edits: TaskEdits) -> Rejected | None:
    """Return why an edited task exceeds the quota of its project after the edit."""
    if not ctx.state.quotas or edits.keys().isdisjoint({"project_id", "resources"}):
        return None
    task_class = class_of({**task.spec, **edits}, task.owner)
    return refuse_over_quota(ctx, task_class, int(task_class.project != task.task_class.project))


def refuse_full_queue(ctx: Context, more: int) -> Rejected | None:
    """Return why the queue has no room for `more` unfinished tasks of any user; None when it has."""
    limit = ctx.policy.queue_tasks_max
    unfinished = sum(n for status, n in ctx.state.by_status.items() if status not in TERMINAL)
    if unfinished + more <= limit:
        return None
    details = {"queued": unfinished, "limit": limit}
    return _queue_full(ctx, "The queue is full", details, unfinished + more - limit)


def _queue_full(ctx: Context, message: str, details: dict[str, Any], tasks: int) -> Rejected:
    """Refuse for now: there are `tasks` too many, and Retry-After is the time until that many have ended."""
    wait_s = retry_after_s(ctx.state, ctx.now, tasks)
    return Rejected(ErrorCode.RATE_LIMIT_EXCEEDED, message, {**details, "retry_after_s": wait_s})


QUOTA_ORDERS: dict[type, Decider] = {SetQuota: set_quota}
