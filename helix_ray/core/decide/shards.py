"""Sharded tasks: one task for its owner, many for the scheduler.

A task with `shards` is submitted together with a task for each shard. The shards are placed and retried
like any task. The parent is running from the first start of a shard, completes with the results in
order when the last one completes, and fails with the first shard that fails for good. Shards are
changed only through their parent.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from helix_ray.core.errors import Rejected, conflict
from helix_ray.core.events import Event, TaskAssigned
from helix_ray.core.families import parent_of, shards_of
from helix_ray.core.gathering import joined
from helix_ray.core.lifecycle import Status
from helix_ray.core.model_inputs import split
from helix_ray.core.names import shard_id
from helix_ray.core.specs import Shard, TaskSpec
from helix_ray.core.state import State, Task


def shard_specs(task_id: str, spec: TaskSpec) -> Iterator[tuple[str, TaskSpec]]:
    """Yield id and spec of every shard of a task; nothing for a task without shards. Inputs that the spec
    holds are split by rows: they have been checked (core/model_inputs.py)."""
    shards = spec.get("shards")
    if shards is None:
        return
    common = spec.copy()
    common.pop("shards", None)
    # The end of the parent's time ends the shards with it.
    common.pop("deadline", None)
    count, gang = shards["count"], bool(shards.get("gang"))
    for index, own in enumerate(_runs(common, count)):
        shard: Shard = {"of": task_id, "index": index, "count": count, "gang": gang}
        title = f"{spec['title']} [{index + 1}/{count}]"
        yield shard_id(task_id, index), {**common, **own, "title": title, "shard": shard}


def _runs(spec: TaskSpec, count: int) -> Iterator[TaskSpec]:
    """Yield for each shard what it does that the others do not."""
    run = spec.get("run")
    if run is None or run["kind"] != "inference" or run.get("inputs") is None:
        yield from (TaskSpec() for _ in range(count))
        return
    for inputs in split(run["inputs"], count):
        yield {"run": {**run, "inputs": inputs}}


def waiting_shards(state: State, task: Task) -> list[Task]:
    """Return the tasks to place for a pending task: its pending shards, or itself."""
    return [shard for shard in shards_of(state, task) if shard.status is Status.PENDING] or [task]


def refused_for_shard(task: Task) -> Rejected | None:
    """Refuse an order about a single shard."""
    shard = task.spec.get("shard")
    if shard is None:
        return None
    return conflict(
        f"This task is a shard of {shard['of']}: change the parent instead",
        id=shard["of"],
        shard=shard["index"],
    )


def parents_started(state: State, started: list[str]) -> list[Event]:
    """Return the assignments of parents whose first shards start now."""
    parents: dict[str, Event] = {}
    for task_id in started:
        parent = parent_of(state, state.tasks[task_id])
        if parent is not None and parent.status is Status.PENDING:
            parents[parent.id] = TaskAssigned(parent.id, parent.attempt + 1, None)
    return list(parents.values())


def gathered(results: Mapping[str, Any], count: int) -> Mapping[str, Any]:
    """Return the result of a parent from those of its shards, given by index as a string: in order, or
    joined where they are the rows of one inference."""
    parts = [results[str(index)] for index in range(count)]
    return joined(parts) or {"success": True, "shards": parts}
