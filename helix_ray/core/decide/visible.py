"""Which task an order is about, and whether its author may change it."""

from __future__ import annotations

from helix_ray.core.decide.outcome import Context
from helix_ray.core.decide.shards import refused_for_shard
from helix_ray.core.errors import Rejected, forbidden, not_found
from helix_ray.core.state import Task
from helix_ray.core.visibility import changes, record_of, sees


def visible(ctx: Context, task_id: str) -> Task | Rejected:
    """Return a task the asker may know of; for everybody else it does not exist."""
    task = ctx.task(task_id)
    if task is None or not sees(ctx.order.by, record_of(task)):
        return not_found("Task", task_id)
    return task


def changeable(ctx: Context, task_id: str) -> Task | Rejected:
    """Return a task that the asker may change; a shard is changed through its parent."""
    task = visible(ctx, task_id)
    if isinstance(task, Rejected):
        return task
    if changes(ctx.order.by, record_of(task)):
        return refused_for_shard(task) or task
    return forbidden("You can read this task but cannot change it", id=task_id)
