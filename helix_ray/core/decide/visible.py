"""Finds the task of an order, and checks whether its author may change it."""

from __future__ import annotations

from collections.abc import Callable

from helix_ray.core.access import Principal
from helix_ray.core.decide.outcome import Context
from helix_ray.core.decide.recalling import not_in_memory, unasked
from helix_ray.core.decide.shards import refused_for_shard
from helix_ray.core.errors import Rejected, forbidden, not_found
from helix_ray.core.state import Task
from helix_ray.core.visibility import TaskRecord, changes, operates, record_of, sees


def visible(ctx: Context, task_id: str) -> Task | Rejected:
    """Return a task that the caller may see; for others it does not exist.

    One that may have left memory is NotInMemory until the history was asked for it.
    """
    task = ctx.task(task_id)
    if task is not None and sees(ctx.order.by, record_of(task)):
        return task
    refusal = not_found("Task", task_id)
    absent = unasked(ctx, (task_id,))
    return not_in_memory(ctx, refusal, absent) if absent else refusal


def operable(ctx: Context, task_id: str) -> Task | Rejected:
    """Return a task that the caller may cancel, or give another priority: operators may of all tasks."""
    return _permitted(ctx, task_id, operates)


def changeable(ctx: Context, task_id: str) -> Task | Rejected:
    """Return a task that the caller may change; a shard is changed through its parent."""
    return _permitted(ctx, task_id, changes)


def _permitted(ctx: Context, task_id: str, may: Callable[[Principal, TaskRecord], bool]) -> Task | Rejected:
    task = visible(ctx, task_id)
    if isinstance(task, Rejected):
        return task
    if may(ctx.order.by, record_of(task)):
        return refused_for_shard(task) or task
    return forbidden("You can read this task but cannot change it", id=task_id)
