"""The weight of an order in tasks that it affects, which limits a commit and a message to the master."""

from __future__ import annotations

from typing import Any, TypeGuard

from helix_ray.core.orders import (
    ArchiveTasks,
    AttemptReport,
    CancelTask,
    DeleteTask,
    ExpireTasks,
    LoseWorker,
    NoteRefusals,
    Order,
    OrderBody,
    RegisterWorker,
    ReleaseTasks,
    RemoveWorker,
    ReportAttempts,
    RequestErasure,
    RetryTask,
    StartAttempts,
    SubmitTasks,
    UpdateTask,
)
from helix_ray.core.policy import Policy
from helix_ray.core.specs import TaskSpec
from helix_ray.core.state import State

# A dependency costs about a fifth of a task, and archiving a finished task a tenth.
DEPENDENCIES_PER_TASK = 5
RETIRED_PER_TASK = 10
# Writing this many bytes to the journal takes as long as submitting a task.
BYTES_PER_TASK = 2000
# The overhead of every task or report.
BYTES_FREE = 200
# Counting a refusal costs even less.
REFUSALS_PER_TASK = 20
# Removing a link between two tasks costs less than adding it.
LINKS_PER_TASK = 40
# Only the state knows how many tasks a restarted or removed worker has; one order takes
# away at most this many.
TAKEN_AWAY_TASKS = Policy().spread_tasks_max
# Orders up to this weight do not wait behind heavier ones.
LIGHT_TASKS_MAX = 20
# Ending or retrying a task may affect hundreds of others: only the state knows how many.
ENDING_TASKS = LIGHT_TASKS_MAX + 1
ENDING_STATUSES = frozenset({"completed", "failed", "cancelled"})


def tasks_of(spec: TaskSpec) -> int:
    """Return how many tasks a spec creates: one, and one for each shard; a
    malformed spec is refused later."""
    shards = spec.get("shards")
    count = shards.get("count") if isinstance(shards, dict) else None
    return 1 + count if type(count) is int and count > 0 else 1


def links_of(spec: TaskSpec) -> int:
    """Return how many dependencies a spec creates: each of its shards has them as well."""
    depends_on = spec.get("depends_on")
    return tasks_of(spec) * len(depends_on) if isinstance(depends_on, list) else 0


def tasks_and_bytes_of(spec: TaskSpec) -> int:
    """Return how many tasks a spec creates; the bytes of a long spec count as further tasks."""
    count = tasks_of(spec)
    size = _size_of(spec) + _size_of(spec.get("run")) - BYTES_FREE
    return count + count * size // BYTES_PER_TASK if size > 0 else count


def weight_of_spec(spec: TaskSpec) -> int:
    """Return the weight of one spec of a submit."""
    return tasks_and_bytes_of(spec) + links_of(spec) // DEPENDENCIES_PER_TASK


def weight_of_report(report: AttemptReport) -> int:
    """Return the weight of one report of an order."""
    size = _size_of(report.result) + _size_of(report.error) - BYTES_FREE
    return 1 + max(0, size) // BYTES_PER_TASK


def _size_of(values: Any) -> int:
    """Return the approximate size of a JSON object in bytes: strings, and the number of
    items in lists and objects."""
    if not isinstance(values, dict):
        return 0
    return sum(len(value) for value in values.values() if isinstance(value, (str, list, tuple, dict)))


def weight_of(order: Order) -> int:
    """Return the weight of an order without the state."""
    body = order.body
    if isinstance(body, SubmitTasks):
        return sum(map(weight_of_spec, body.specs))
    if isinstance(body, ReportAttempts):
        return sum(map(weight_of_report, body.reports))
    if isinstance(body, StartAttempts):
        return len(body.pairs)
    if isinstance(body, (ReleaseTasks, ExpireTasks)):
        return len(body.task_ids)
    if isinstance(body, NoteRefusals):
        return 1 + len(body.refusals) // REFUSALS_PER_TASK
    if isinstance(body, RemoveWorker) or (isinstance(body, RegisterWorker) and body.kind == "node"):
        return TAKEN_AWAY_TASKS
    if _may_reach_others(body):
        return ENDING_TASKS + _recalled_weight(order)
    if isinstance(body, RequestErasure):
        # Each task is deleted; how many a user has is known to the state only.
        return ENDING_TASKS + len(body.task_ids) + (TAKEN_AWAY_TASKS if body.user_ids else 0)
    if isinstance(body, ArchiveTasks):
        return 1 + body.limit // RETIRED_PER_TASK
    return 1


def _recalled_weight(order: Order) -> int:
    """Return the weight of restored tasks, which are written to the journal again."""
    if order.recalled is None or not isinstance(order.body, RetryTask):
        return 0
    return sum(tasks_and_bytes_of(task.spec) for task in order.recalled.tasks.values() if task is not None)


def _may_reach_others(body: OrderBody) -> TypeGuard[UpdateTask | CancelTask | RetryTask | DeleteTask]:
    if isinstance(body, UpdateTask):
        return body.status in ENDING_STATUSES
    return isinstance(body, (CancelTask, RetryTask, DeleteTask))


def weight_in(state: State, order: Order) -> int:
    """Return the weight of an order with the state: other tasks that end with a task
    or a worker count as well."""
    body = order.body
    if _may_reach_others(body):
        task = state.tasks.get(body.task_id)
        waiting = len(state.dependents.get(body.task_id, ()))
        if isinstance(body, RetryTask) and body.dependants:
            waiting += len(state.failed_by.get(body.task_id, ()))
        known = 1 if task is None else tasks_of(task.spec) + min(waiting, TAKEN_AWAY_TASKS)
        return known + _recalled_weight(order)
    if isinstance(body, (RegisterWorker, RemoveWorker, LoseWorker)):
        worker = state.workers.get(body.worker_id or "")
        return 1 if worker is None else 1 + min(len(worker.running), TAKEN_AWAY_TASKS)
    return weight_of(order)
