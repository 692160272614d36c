"""A sharded task and its shards, as the state has them."""

from __future__ import annotations

from helix_ray.core.names import shard_id
from helix_ray.core.state import State, Task


def is_sharded(task: Task) -> bool:
    """Say whether a task is a parent whose shards run."""
    return "shards" in task.spec


def parent_of(state: State, task: Task) -> Task | None:
    """Return the parent of a shard; None for a task that is not a shard, or whose parent is gone."""
    shard = task.spec.get("shard")
    return state.tasks.get(shard["of"]) if shard else None


def shards_of(state: State, parent: Task) -> list[Task]:
    """Return the shards that are in memory, in order."""
    if not is_sharded(parent):
        return []
    ids = (shard_id(parent.id, index) for index in range(parent.spec["shards"]["count"]))
    return [state.tasks[i] for i in ids if i in state.tasks]
