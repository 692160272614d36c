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
CHANGES_MAX = 20_000
POLL_S = 0.3
FRESH_S = 1.0

# (after, limit, wait in seconds) -> (cursor, head, changed ids), or None while the master is away.
Changes = Callable[[int, int, float], Awaitable[tuple[int, int, list[str]] | None]]


class ReadCache:
    """A bounded map from task id to view.

    Invariant: a kept view is as of `_floor` or later, so what the stream says from there on is all that can make it
    old. `_floor` is the stream's cursor or the last write of this replica, whichever is later.
    """

    def __init__(self, changes: Changes) -> None:
        self._changes = changes
        self._tasks: OrderedDict[str, dict[str, Any]] = OrderedDict()
        self._floor = 0
        self._heard = float("-inf")
        self._follower: asyncio.Task[None] | None = None

    def task(self, task_id: str, by: Principal) -> dict[str, Any] | None:
        """Return a task that is known and that the asker may see."""
        if self._follower is None:
            self._follower = asyncio.get_running_loop().create_task(self._follow())
        view = self._tasks.get(task_id)
        if view is None or time.monotonic() - self._heard > FRESH_S:
            return None
        return view if view["owner"] == by.id or sees_all_tasks(by) else None

    def keep(self, task_id: str, view: dict[str, Any], seq: int) -> None:
        """Keep an answer that is as of `seq`, unless something newer is known to have happened since."""
        if seq < self._floor:
            return
        self._tasks[task_id] = view
        if len(self._tasks) > TASKS_MAX:
            self._tasks.popitem(last=False)

    def wrote(self, task_id: str | None, seq: int) -> None:
        """Drop a task that an order of this replica changed."""
        if task_id is not None:
            self._tasks.pop(task_id, None)
            self._floor = max(self._floor, seq)

    def close(self) -> None:
        """Stop following; safe to call twice."""
        if self._follower is not None:
            self._follower.cancel()

    async def _follow(self) -> None:
        cursor = -1
        while True:
            news = await self._changes(cursor, CHANGES_MAX, POLL_S)
            if news is None:
                await asyncio.sleep(POLL_S)
                continue
            after, head, ids = news
            if cursor < 0 or head < cursor:
                # The first answer, or another journal: nothing kept so far is known to be current.
                self._tasks.clear()
                self._floor = 0
            for task_id in ids:
                self._tasks.pop(task_id, None)
            cursor, self._floor = after, max(self._floor, after)
            if after == head:
                self._heard = time.monotonic()
