"""Sharded tasks: one task for its owner, many for the scheduler.

A task with `shards` is taken in together with a task for each shard. The shards are placed, retried and replaced as
any task is; the whole is running from the first start on, is completed with their results in order when the last is
done, and fails with the first shard that fails for good. Nobody changes a shard but through the whole.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from helix_ray.core.errors import Rejected, conflict
from helix_ray.core.events import (
    Event,
    TaskAssigned,
    TaskCancelled,
    TaskCompleted,
    TaskFailed,
    TaskProgressed,
    TaskReleased,
    subject_of,
)
from helix_ray.core.lifecycle import TERMINAL, Status
from helix_ray.core.state import State, Task

# Of the whole alone: the end of its time ends the shards with it.
NOT_FOR_SHARDS = frozenset({"shards", "deadline"})


@dataclass(slots=True)
class Completed:
    """What one order completes: not folded yet, but done for those that wait for it."""

    ids: set[str] = field(default_factory=set)
    # Results of shards, by whole and index.
    parts: dict[str, dict[str, Any]] = field(default_factory=dict)


def shard_id(whole_id: str, index: int) -> str:
    """Return the id of a shard's task."""
    return f"{whole_id}-s{index}"


def shard_specs(task_id: str, spec: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Give id and spec of every shard of a task; nothing for a task without shards."""
    shards = spec.get("shards")
    if shards is None:
        return
    common = {name: value for name, value in spec.items() if name not in NOT_FOR_SHARDS}
    count, gang = shards["count"], bool(shards.get("gang"))
    for index in range(count):
        shard = {"of": task_id, "index": index, "count": count, "gang": gang}
        title = f"{spec['title']} [{index + 1}/{count}]"
        yield shard_id(task_id, index), {**common, "title": title, "shard": shard}


def is_sharded(task: Task) -> bool:
    """Say whether a task is a whole whose shards run."""
    return "shards" in task.spec


def whole_of(state: State, task: Task) -> Task | None:
    """Return the task that a shard is a part of; None for what is no shard, and for one whose whole is gone."""
    shard = task.spec.get("shard")
    return state.tasks.get(shard["of"]) if shard else None


def shards_of(state: State, whole: Task) -> list[Task]:
    """Return the shards that are in memory, in order."""
    if not is_sharded(whole):
        return []
    ids = (shard_id(whole.id, index) for index in range(whole.spec["shards"]["count"]))
    return [state.tasks[i] for i in ids if i in state.tasks]


def waiting_parts(state: State, task: Task) -> list[Task]:
    """Return what would be placed for a pending task: its pending shards, or itself."""
    return [shard for shard in shards_of(state, task) if shard.status is Status.PENDING] or [task]


def refused_for_shard(task: Task) -> Rejected | None:
    """Refuse what somebody wants of a shard alone."""
    shard = task.spec.get("shard")
    if shard is None:
        return None
    return conflict(f"It is a part of {shard['of']}: change that one", id=shard["of"], shard=shard["index"])


def wholes_started(state: State, started: list[str]) -> list[Event]:
    """Return the starts of the tasks whose first shards are among those that start now."""
    wholes: dict[str, Event] = {}
    for task_id in started:
        whole = whole_of(state, state.tasks[task_id])
        if whole is not None and whole.status is Status.PENDING:
            wholes[whole.id] = TaskAssigned(whole.id, whole.attempt + 1, None)
    return list(wholes.values())


def shard_completed(state: State, shard: Task, result: Any, completed: Completed, now: float) -> list[Event]:
    """Return what a completed shard means for its whole: progress, or its own completion."""
    whole = whole_of(state, shard)
    if whole is None or whole.status in TERMINAL:
        return []
    done = completed.parts.setdefault(whole.id, {})
    done[str(shard.spec["shard"]["index"])] = result
    count = whole.spec["shards"]["count"]
    parts = {**whole.parts, **done} if len(whole.parts) + len(done) >= count else None
    if parts is None or len(parts) < count:
        percent = 100.0 * (len(whole.parts) + len(done)) / count
        return (
            [TaskProgressed(whole.id, whole.attempt, min(percent, 99.0))] if percent > whole.progress else []
        )
    completed.ids.add(whole.id)
    gathered = {"success": True, "shards": [parts[str(index)] for index in range(count)]}
    duration = now - whole.started_at if whole.started_at is not None else None
    return [TaskCompleted(whole.id, whole.attempt, gathered, duration)]


def cancelled_shards(state: State, whole: Task, reason: str, other_than: str = "") -> list[Event]:
    """Return the ends of the shards of a task that is over."""
    return [
        TaskCancelled(shard.id, shard.attempt, reason)
        for shard in shards_of(state, whole)
        if shard.status not in TERMINAL and shard.id != other_than
    ]


def first_endings(events: list[Event]) -> list[Event]:
    """Drop what an order says of a task after it has ended it: two lost dependencies fail a dependent once, and a
    shard that was cancelled for its sibling's failure does not report any more."""
    ended: set[str] = set()
    released: set[str] = set()
    kept: list[Event] = []
    for event in events:
        subject = subject_of(event)
        if subject in ended or (isinstance(event, TaskReleased) and subject in released):
            continue
        if isinstance(event, (TaskFailed, TaskCompleted, TaskCancelled)):
            ended.add(subject)
        elif isinstance(event, TaskReleased):
            released.add(subject)
        kept.append(event)
    return kept
