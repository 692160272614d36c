"""Weights, in tasks that are affected: they limit a commit and a message to the master.

An order says its weight itself (`work` and `work_in` of each kind, core/orders/), of these parts.
"""

from __future__ import annotations

from typing import Any

from helix_ray.core.policy import Policy
from helix_ray.core.specs import TaskError, TaskSpec
from helix_ray.core.state import State

# A dependency costs about a fifth of a task, and archiving a finished task a tenth.
DEPENDENCIES_PER_TASK = 5
ARCHIVED_PER_TASK = 10
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
# What JSON has that is long; anything else is refused later.
_SIZED = frozenset({str, list, tuple, dict})
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


def weight_of_outcome(result: Any, error: TaskError | None) -> int:
    """Return the weight of one report of an attempt."""
    size = _size_of(result) + _size_of(error) - BYTES_FREE
    return 1 + max(0, size) // BYTES_PER_TASK


def weight_of_end(state: State, task_id: str, *, dependants: bool = False) -> int:
    """Return the weight of what ends or retries a task: others that end with it count as well."""
    task = state.tasks.get(task_id)
    waiting = len(state.dependents.get(task_id, ()))
    if dependants:
        waiting += len(state.failed_by.get(task_id, ()))
    return 1 if task is None else tasks_of(task.spec) + min(waiting, TAKEN_AWAY_TASKS)


def weight_of_worker(state: State, worker_id: str | None) -> int:
    """Return the weight of what takes its tasks away from a worker."""
    worker = state.workers.get(worker_id or "")
    return 1 if worker is None else 1 + min(len(worker.running), TAKEN_AWAY_TASKS)


def _size_of(values: Any) -> int:
    """Return the approximate size of a JSON object in bytes: strings, and the number of
    items in lists and objects."""
    if not isinstance(values, dict):
        return 0
    size = 0
    for value in values.values():
        if type(value) in _SIZED:
            size += len(value)
    return size
