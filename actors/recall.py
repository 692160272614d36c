"""Reads records of archived tasks for orders about them, from the history and, for large
parts, from the journal."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from helix_ray.core.access import SYSTEM
from helix_ray.core.events import TaskSubmitted
from helix_ray.core.families import is_sharded
from helix_ray.core.lifecycle import Status
from helix_ray.core.names import shard_id
from helix_ray.core.orders.kind import Detail
from helix_ray.core.orders.recalled import Lost, Recalled
from helix_ray.core.specs import JsonObject, Run
from helix_ray.core.state import NO_RESULTS, Task
from helix_ray.plain import plain_bytes
from helix_ray.ports import ControlPlane

if TYPE_CHECKING:
    from helix_ray.views.history import History
    from helix_ray.views.read import Record

# Limits of one recall: tasks found by the task because of which they failed, and bytes of their runs.
RECALLED_TASKS_MAX = 5000
RUNS_BYTES_MAX = 32 * 1024 * 1024
READS_AT_ONCE_MAX = 16

Records = dict[str, "Record"]


def read(
    history: History, archived_through: int, task_ids: Sequence[str], causes: Iterable[str], detail: Detail
) -> Records:
    """Return the records of tasks, and of tasks that failed because of `causes`: with the
    `detail` that an order needs."""
    if detail == "line":
        return history.lines(task_ids, archived_through)
    causes = list(causes)
    found = history.failed_because_of(causes, archived_through, RECALLED_TASKS_MAX) if causes else []
    records = history.records(list(dict.fromkeys((*task_ids, *found))), archived_through)
    if detail != "run":
        return records
    related: dict[str, None] = {}
    for record in records.values():
        related |= dict.fromkeys((*(record.task.spec.get("depends_on") or ()), *_shard_ids(record.task)))
    records |= history.records([name for name in related if name not in records], archived_through)
    for record in records.values():
        record.task.shard_results = _shard_results(record.task, records) or NO_RESULTS
    return records


def _shard_ids(task: Task) -> list[str]:
    count = task.spec["shards"]["count"] if is_sharded(task) else 0
    return [shard_id(task.id, index) for index in range(count)]


def _shard_results(parent: Task, records: Records) -> JsonObject:
    """Return the results of completed shards by index."""
    shards = ((i, records.get(name)) for i, name in enumerate(_shard_ids(parent)))
    return {
        str(i): shard.task.result
        for i, shard in shards
        if shard is not None and shard.task.status is Status.COMPLETED
    }


async def recalled(
    plane: ControlPlane, records: Records, through: int, task_ids: Iterable[str], causes: Iterable[str],
    detail: Detail
) -> Recalled:  # fmt: skip
    """Return records for an order, with the runs where it needs them.

    Raises Refused (SERVICE_UNAVAILABLE) when the master does not respond.
    """
    tasks: dict[str, Task | None] = dict.fromkeys(task_ids)
    lost: dict[str, Lost] = {}
    for record in records.values():
        tasks[record.task.id] = replace(record.task, result=None)
    if detail == "run":
        cut = [r.task for r in records.values() if r.cut and r.task.status is not Status.COMPLETED]
        runs = await _runs(plane, cut)
        left = RUNS_BYTES_MAX
        for task, run in zip(cut, runs, strict=True):
            # plain_bytes gives no size for a value with null.
            left -= plain_bytes(run) or len(repr(run))
            if run is None or left < 0:
                lost[task.id] = "gone" if run is None else "too_large"
            else:
                tasks[task.id] = replace(task, result=None, spec={**task.spec, "run": run})
    return Recalled(through, tasks, frozenset((*causes, *records)) if causes else frozenset(), lost)


async def _runs(plane: ControlPlane, tasks: list[Task]) -> list[Run | None]:
    """Return the runs of tasks from their submits; None where the facts are gone."""
    at_once = asyncio.Semaphore(READS_AT_ONCE_MAX)

    async def run_of(task: Task) -> Run | None:
        async with at_once:
            facts = (await plane.events(task.seq - 1, 1, SYSTEM)).facts
        event = facts[0].event if facts and facts[0].seq == task.seq else None
        return event.spec.get("run") if isinstance(event, TaskSubmitted) and event.id == task.id else None

    return await asyncio.gather(*map(run_of, tasks))
