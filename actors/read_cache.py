"""Tasks as an API replica last saw them, so that most reads need no call to the master.

A background loop asks the master for the ids of what changed and drops them here: the stream carries no payload,
so a lost one costs freshness and not truth. When the loop has not heard for FRESH_S the cache answers nothing.
What this replica itself wrote is dropped before the writer is answered: one reads one's own writes.
"""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from typing import Any

from helix_ray.core.access import Principal, sees_all_tasks

TASKS_MAX = 20_000
DROPPED_MAX = 20_000
CHANGES_MAX = 20_000
POLL_S = 0.3
FRESH_S = 1.0

# (after, limit, wait in seconds) -> (cursor, head, changed ids), or None while the master is away.
Changes = Callable[[int, int, float], Awaitable[tuple[int, int, list[str]] | None]]


class ReadCache:
    """A bounded map from task id to view, with the seq up to which it is known to be true."""

    def __init__(self, changes: Changes) -> None:
        self._changes = changes
        self._tasks: OrderedDict[str, dict[str, Any]] = OrderedDict()
        # Ids dropped lately with the seq at which they changed: an older answer still under way must not be kept.
        self._dropped: OrderedDict[str, int] = OrderedDict()
        self._floor = 0
        self._heard = float("-inf")
        self._follower: asyncio.Task[None] | None = None

    def task(self, task_id: str, by: Principal) -> dict[str, Any] | None:
        """Return a task that is known and that the asker may see."""
        if self._follower is None:
            self._follower = asyncio.get_running_loop().create_task(self._follow())
        if time.monotonic() - self._heard > FRESH_S:
            return None
        view = self._tasks.get(task_id)
        if view is None or not (view["owner"] == by.id or sees_all_tasks(by)):
            return None
        return view

    def keep(self, task_id: str, view: dict[str, Any], seq: int) -> None:
        """Keep an answer that is as of `seq`, unless the task is known to have changed after that."""
        if seq < self._floor or self._dropped.get(task_id, 0) > seq:
            return
        self._tasks[task_id] = view
        if len(self._tasks) > TASKS_MAX:
            self._tasks.popitem(last=False)

    def wrote(self, task_id: str | None, seq: int) -> None:
        """Drop a task that an order of this replica changed."""
        if task_id is not None:
            self._drop(task_id, seq)

    def _drop(self, task_id: str, seq: int) -> None:
        self._tasks.pop(task_id, None)
        self._dropped[task_id] = seq
        self._dropped.move_to_end(task_id)
        if len(self._dropped) > DROPPED_MAX:
            self._floor = max(self._floor, self._dropped.popitem(last=False)[1])

    async def _follow(self) -> None:
        cursor = -1
        while True:
            news = await self._changes(cursor, CHANGES_MAX, POLL_S)
            if news is None:
                await asyncio.sleep(POLL_S)
                continue
            after, head, ids = news
            self._apply(cursor, after, head, ids)
            cursor = after
            if after == head:
                self._heard = time.monotonic()

    def _apply(self, cursor: int, after: int, head: int, ids: list[str]) -> None:
        if cursor < 0 or head < cursor:
            # The first answer, or another journal: nothing kept so far is known to be current.
            self._tasks.clear()
            self._floor = head
        for task_id in ids:
            self._drop(task_id, after)
