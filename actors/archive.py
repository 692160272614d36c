"""What the history says of tasks that have left the master's memory, or why it cannot say it now.

What finished after `retired_through` is memory's to answer for; what the tables do not have yet up to there (a file
that was lost is made again from the journal) nobody can answer for, and "no such task" would be a lie.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from helix_ray.core.access import SYSTEM, Principal, sees_all_tasks, sees_task
from helix_ray.core.errors import Rejected
from helix_ray.core.questions import Counts, GetResult, GetTask, ListTasks
from helix_ray.plane.told import Unavailable
from helix_ray.ports import ControlPlane
from helix_ray.views.history import History

NO_MASTER = Unavailable("history", "the control plane does not answer")
BEHIND = Unavailable("history", "the history is being made again")

# Runs a call of the history on a thread: (function, arguments) -> its result.
OnThread = Callable[..., Awaitable[Any]]


class Archive:
    """Answers from one history."""

    def __init__(
        self, history: History, plane: ControlPlane, on_thread: OnThread = asyncio.to_thread
    ) -> None:
        self._history = history
        self._plane = plane
        self._on_thread = on_thread

    async def find(self, question: GetTask | GetResult, by: Principal) -> dict[str, Any] | Unavailable | None:
        """Return a retired task or its result; None when there is none that the asker may see."""
        through = await self._retired_through()
        if through is None:
            return NO_MASTER
        ask = self._history.get_task if isinstance(question, GetTask) else self._history.result
        view: dict[str, Any] | None = await self._on_thread(ask, question.task_id, through)
        if view is None and self._history.through < through:
            return BEHIND
        return None if view is None or not await self._sees(by, view) else view

    async def list(
        self, question: ListTasks, by: Principal, live: dict[str, Any]
    ) -> dict[str, Any] | Unavailable:
        """Complete a listing of what is in memory with the retired tasks behind it."""
        if self._history.through < live["retired_through"]:
            return BEHIND
        owner = None if sees_all_tasks(by) else by.id
        lines, total = await self._on_thread(
            self._history.list,
            question,
            owner,
            live["retired_through"],
            question.offset + question.limit,
            by.projects,
        )
        skip = max(0, question.offset - live["total"])
        page = live["tasks"] + lines[skip:]
        return {**live, "tasks": page[: question.limit], "total": live["total"] + total}

    async def wait(self, by: Principal, live: dict[str, Any]) -> dict[str, Any] | Unavailable:
        """Complete a WaitTasks answer with the outcomes of retired tasks."""
        through = await self._retired_through()
        if through is None:
            return NO_MASTER
        found = await self._on_thread(self._history.results, live["unknown"], through)
        seen = {i: view for i, view in found.items() if await self._sees(by, view)}
        unknown = [task_id for task_id in live["unknown"] if task_id not in seen]
        if unknown and self._history.through < through:
            return BEHIND
        return {**live, "done": [*live["done"], *seen.values()], "unknown": unknown}

    async def _sees(self, by: Principal, view: dict[str, Any]) -> bool:
        """Say whether somebody sees a task that has left memory; a result does not say its project by itself."""
        project = None
        if by.projects is not None:
            task = await self._on_thread(self._history.get_task, view["id"])
            project = None if task is None else task["project_id"]
        return sees_task(by, view["owner"], project)

    async def _retired_through(self) -> int | None:
        """Return how far tasks are retired; None when the master does not answer."""
        counts = await self._plane.query(Counts(), SYSTEM)
        return None if isinstance(counts, Rejected) else int(counts["retired_through"])
