"""Follows the journal into the DuckDB history, answers for what has left memory, and lets finished tasks leave it.

Effect, then cursor: the history's file holds facts and cursor in one transaction, and tasks are retired only up to
what it holds. Deleting the file loses nothing that a restart does not rebuild from the journal.
"""

from __future__ import annotations

import asyncio
import logging
import os
import time
from typing import Any

from actors.attempt_log import read_piece
from actors.gateway import RayControlPlane
from actors.logs import set_up
from helix_ray.config import Settings
from helix_ray.core.access import SYSTEM, Principal, sees_all_tasks
from helix_ray.core.errors import Rejected
from helix_ray.core.lifecycle import TERMINAL
from helix_ray.core.orders import Order, Receipt, RetireTasks
from helix_ray.core.questions import Counts, GetResult, GetTask, ListTasks
from helix_ray.execution.log import log_path
from helix_ray.views.history import History
from helix_ray.wire.ids import new_seed

log = logging.getLogger(__name__)

NICENESS = 5
FACTS_PER_INGEST_MAX = 5_000
WAIT_S = 5.0
# Facts are taken in batches this far apart: the history may lag, and small batches cost the most.
PAUSE_S = 0.5
RETIRE_TASKS_PER_ORDER = 5000
# More finished tasks than this do not stay in the master's memory, however young they are.
FINISHED_TASKS_MAX = 100_000


class Historian:
    """Owns the history file."""

    def __init__(self, settings: Settings) -> None:
        set_up()
        # It may lag: what it follows is on the disk already.
        os.nice(max(0, NICENESS - os.nice(0)))
        self._retention_s = settings.retention_s
        self._log_dir = settings.data_dir / "logs"
        self._history = History(settings.data_dir / "history.duckdb")
        self._loop: asyncio.Task[None] | None = None

    async def ping(self) -> int:
        """Start following where it does not run yet; return the history's cursor."""
        if self._loop is None:
            self._plane = RayControlPlane()
            self._loop = asyncio.get_running_loop().create_task(self._run())
        return self._history.cursor

    async def stop(self) -> None:
        """End following and close the file."""
        if self._loop is not None:
            self._loop.cancel()
        self._history.close()

    async def find(self, question: GetTask | GetResult, by: Principal) -> dict[str, Any] | None:
        """Return a retired task or its result; None when there is none that the asker may see."""
        ask = self._history.get_task if isinstance(question, GetTask) else self._history.result
        view = await asyncio.to_thread(ask, question.task_id, await self._retired_through())
        if view is None or not (view["owner"] == by.id or sees_all_tasks(by)):
            return None
        return view

    async def list(self, question: ListTasks, by: Principal, live: dict[str, Any]) -> dict[str, Any]:
        """Complete a listing of what is in memory with the retired tasks behind it."""
        owner = None if sees_all_tasks(by) else by.id
        lines, total = await asyncio.to_thread(
            self._history.list, question, owner, live["retired_through"], question.offset + question.limit
        )
        skip = max(0, question.offset - live["total"])
        page = live["tasks"] + lines[skip:]
        return {**live, "tasks": page[: question.limit], "total": live["total"] + total}

    async def wait(self, by: Principal, live: dict[str, Any]) -> dict[str, Any]:
        """Complete a WaitTasks answer with the outcomes of retired tasks."""
        through = await self._retired_through()
        found = await asyncio.to_thread(self._history.results, live["unknown"], through)
        seen = {i: view for i, view in found.items() if view["owner"] == by.id or sees_all_tasks(by)}
        unknown = [task_id for task_id in live["unknown"] if task_id not in seen]
        return {**live, "done": [*live["done"], *seen.values()], "unknown": unknown}

    async def read_log(
        self, task_id: str, attempt: int, offset: int, limit_bytes: int
    ) -> dict[str, Any] | None:
        """Return a piece of the log that a node of this machine, gone since, has left; None where there is none."""
        if not log_path(str(self._log_dir), task_id, attempt).exists():
            return None
        piece = await asyncio.to_thread(read_piece, self._log_dir, task_id, attempt, offset, limit_bytes)
        piece["eof"] = not piece.pop("more")
        return piece

    async def _retired_through(self) -> int:
        """Return how far tasks are retired: what finished later is memory's to answer for."""
        counts = await self._plane.query(Counts(), SYSTEM)
        return 0 if isinstance(counts, Rejected) else int(counts["retired_through"])

    async def _run(self) -> None:
        while True:
            try:
                await self._follow()
            except Exception:
                log.exception("following failed and goes on")
                await asyncio.sleep(PAUSE_S)

    async def _follow(self) -> None:
        batch = await self._plane.events(self._history.cursor, FACTS_PER_INGEST_MAX, WAIT_S)
        if batch.facts:
            await asyncio.to_thread(self._history.ingest, batch.facts)
        if batch.cursor == batch.head:
            await self._retire()
            await asyncio.sleep(PAUSE_S)

    async def _retire(self) -> None:
        """Let go of what finished long enough ago, and of the oldest of what is too much to keep."""
        now = time.time()
        while (
            await self._retire_some(now - self._retention_s, RETIRE_TASKS_PER_ORDER) == RETIRE_TASKS_PER_ORDER
        ):
            pass
        counts = await self._plane.query(Counts(), SYSTEM)
        if isinstance(counts, Rejected):
            return
        excess = sum(counts["tasks"][status] for status in TERMINAL) - FINISHED_TASKS_MAX
        while excess > 0:
            retired = await self._retire_some(now, min(excess, RETIRE_TASKS_PER_ORDER))
            if not retired:
                return
            excess -= retired

    async def _retire_some(self, finished_before: float, limit: int) -> int:
        order = RetireTasks(self._history.cursor, finished_before, limit)
        answer = await self._plane.execute(Order(order, SYSTEM, "req-historian", new_seed()))
        return int(answer.data["retired"]) if isinstance(answer, Receipt) else 0
