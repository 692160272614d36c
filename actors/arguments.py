"""What calls need that is too large for the journal: arguments in Ray's object store, and uploaded folders.

A program that submits a call may end before the task begins, and its objects with it. So it hands the
arguments to a node worker, which keeps them until the task has completed. Those of a task that failed or was
cancelled stay while there is room: it may be queued again.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Collection, Sequence
from dataclasses import dataclass
from typing import Any, TypedDict

import ray

from helix_ray.core.errors import Rejected
from helix_ray.core.views.tasks import EndedView

ARGUMENTS_BYTES_MAX = 4 * 1024 * 1024 * 1024
"""Most bytes of arguments that one node worker keeps; Ray moves what memory has no room for to disk."""

UNNAMED_S_MAX = 600.0
"""How long arguments are kept whose task is not known, in seconds: its program ended while it submitted."""

LOOK_EVERY_S = 10.0
NOTHING_ENDED: EndedView = {"done": [], "unknown": [], "open": 0}

Ended = Callable[[tuple[str, ...]], Awaitable[EndedView | Rejected]]


class Taken(TypedDict):
    """The answer to a call that hands over arguments: why it was refused, or None."""

    refused: str | None


@dataclass(slots=True)
class _Kept:
    parts: Any
    size: int
    since: float
    task_id: str | None = None
    ended: bool = False


class ArgumentShelf:
    """What is kept, and for which task."""

    def __init__(self, bytes_max: int = ARGUMENTS_BYTES_MAX) -> None:
        self._bytes_max = bytes_max
        self._kept: dict[str, _Kept] = {}

    def lacks_room(self, size: int) -> bool:
        """Say whether so many bytes have no room, even after removing arguments of ended tasks."""
        used = sum(kept.size for kept in self._kept.values())
        for key in [key for key, kept in self._kept.items() if kept.ended]:
            if used + size <= self._bytes_max:
                return False
            used -= self._kept.pop(key).size
        return used + size > self._bytes_max

    def refusal(self, size: int) -> str:
        """Return why so many bytes have no room, and what to do."""
        used = sum(kept.size for kept in self._kept.values())
        return (
            f"the arguments are {size} bytes; this node keeps {used} bytes for tasks that have not ended, "
            f"and the limit is {self._bytes_max}: wait for some of them, or put the data in a file"
        )

    def add(self, key: str, parts: Any, size: int, now: float) -> None:
        """Keep arguments whose task is not known yet."""
        self._kept[key] = _Kept(parts, size, now)

    def assign(self, key: str, task_id: str) -> bool:
        """Say for which task arguments are kept; False where they are not here."""
        kept = self._kept.get(key)
        if kept is not None:
            kept.task_id = task_id
        return kept is not None

    def get(self, key: str) -> Any:
        """Return the reference of kept arguments, None where they are not here."""
        kept = self._kept.get(key)
        return None if kept is None else kept.parts

    def task_ids(self) -> tuple[str, ...]:
        """Return the tasks for which something is kept."""
        return tuple({kept.task_id for kept in self._kept.values() if kept.task_id is not None})

    def let_go(self, completed: Collection[str], ended: Collection[str], now: float) -> None:
        """Remove arguments that no task needs, and record which others can go when there is no room."""
        for key, kept in list(self._kept.items()):
            kept.ended = kept.task_id in ended
            unnamed = kept.task_id is None and now - kept.since > UNNAMED_S_MAX
            if unnamed or kept.task_id in completed:
                del self._kept[key]


class ArgumentKeeper:
    """Keeps the arguments of large calls in Ray's object store, owned by this process."""

    def __init__(self, ended: Ended) -> None:
        """`ended` asks the control plane which of some tasks have ended."""
        self._ended = ended
        self._shelf = ArgumentShelf()

    async def keep(self, key: str, parts: Sequence[Any]) -> Taken:
        """Keep arguments, as parts of a pickle, until their task has completed."""
        size = sum(part.nbytes for part in parts)
        if self._shelf.lacks_room(size):
            await self._look()
            if self._shelf.lacks_room(size):
                return {"refused": self._shelf.refusal(size)}
        self._shelf.add(key, await stored(parts), size, time.monotonic())
        return {"refused": None}

    def assign(self, key: str, task_id: str) -> bool:
        """Say which task needs the arguments; False where they are not here."""
        return self._shelf.assign(key, task_id)

    def get(self, key: str) -> list[Any]:
        """Return the reference of kept arguments in a list, where Ray leaves it a reference; an empty one
        where they are gone."""
        reference = self._shelf.get(key)
        return [] if reference is None else [reference]

    async def run(self) -> None:
        """Remove what no task needs, again and again while the node lives."""
        while True:
            await asyncio.sleep(LOOK_EVERY_S)
            await self._look()

    async def _look(self) -> None:
        task_ids = self._shelf.task_ids()
        reply = await self._ended(task_ids) if task_ids else NOTHING_ENDED
        if isinstance(reply, Rejected):
            return
        completed = {one["id"] for one in reply["done"] if one["status"] == "completed"}
        ended = {one["id"] for one in reply["done"]}
        self._shelf.let_go(completed | set(reply["unknown"]), ended, time.monotonic())


async def stored(parts: Sequence[Any]) -> Any:
    """Return a reference to a copy of the parts of a pickle: the caller's object ends with the caller.

    In a thread, for it may take seconds.
    """
    return await asyncio.to_thread(ray.put, list(parts))
