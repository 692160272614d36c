"""How much work an order is, in tasks that it touches: what bounds one commit, and one message to the master."""

from __future__ import annotations

from typing import Any

from helix_ray.core.orders import (
    ExpireTasks,
    Order,
    RegisterWorker,
    ReleaseTasks,
    RemoveWorker,
    ReportAttempts,
    RetireTasks,
    StartAttempts,
    SubmitTasks,
)
from helix_ray.core.policy import Policy

# A dependency costs about a fifth of a task, and letting a finished task go a tenth.
DEPENDENCIES_PER_TASK = 5
RETIRED_PER_TASK = 10
# What a worker that starts again, or is removed, may hold is known to the state only; one order takes away so many at most.
TAKEN_AWAY_TASKS = Policy().spread_tasks_max
# Orders up to this weight do not wait behind heavier ones.
LIGHT_TASKS_MAX = 20


def tasks_of(spec: dict[str, Any]) -> int:
    """Return how many tasks a spec becomes: one, and one for each shard; a malformed one is refused later."""
    shards = spec.get("shards")
    count = shards.get("count") if isinstance(shards, dict) else None
    return 1 + count if type(count) is int and count > 0 else 1


def weight_of_spec(spec: dict[str, Any]) -> int:
    """Return the weight of one spec of a submit."""
    depends_on = spec.get("depends_on")
    linked = len(depends_on) if isinstance(depends_on, list) else 0
    count = tasks_of(spec)
    return count + count * linked // DEPENDENCIES_PER_TASK


def weight_of(order: Order) -> int:
    """Return the weight of an order."""
    body = order.body
    if isinstance(body, SubmitTasks):
        return sum(map(weight_of_spec, body.specs))
    if isinstance(body, ReportAttempts):
        return len(body.reports)
    if isinstance(body, StartAttempts):
        return len(body.pairs)
    if isinstance(body, (ReleaseTasks, ExpireTasks)):
        return len(body.task_ids)
    if isinstance(body, RemoveWorker) or (isinstance(body, RegisterWorker) and body.kind == "node"):
        return TAKEN_AWAY_TASKS
    if isinstance(body, RetireTasks):
        return 1 + body.limit // RETIRED_PER_TASK
    return 1
