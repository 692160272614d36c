"""Streams of what functions yield: each item as soon as it was yielded, from the first one on.

A retry begins the function again, so it yields the items again: a reader is not given those that it had, by
their number, as with Ray. So a function that may be retried yields the same items in every attempt.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Iterator
from typing import TYPE_CHECKING, Any, NoReturn

import cloudpickle

from helix_ray.cluster.background import Background
from helix_ray.cluster.errors import ClusterUnavailable, ResultLostError, StreamBroken
from helix_ray.cluster.naming import naming
from helix_ray.cluster.payload import shard_outcomes, value_of, yielded
from helix_ray.cluster.waiting import AskWithin, NotCompleted, Outcome
from helix_ray.cluster.waits import work_done
from helix_ray.core.errors import ErrorCode, Refused
from helix_ray.core.lifecycle import TERMINAL, Status
from helix_ray.core.questions import GetTask, ReadItems
from helix_ray.core.views.tasks import ItemsView
from helix_ray.execution.item_file import ItemReader

if TYPE_CHECKING:
    from helix_ray.cluster.handles import Handle

READ_WAIT_S = 10.0
"""How long one question waits for more items at most, in seconds."""

AGAIN_S_MIN = 0.02
AGAIN_S_MAX = 1.0

AWAY_S_MAX = 60.0
"""How long a reader waits for a node that does not respond while its task has not ended, in seconds."""


REST_EVERY_ITEMS = 64
"""After how many items that are there already an asynchronous reader lets its event loop go on."""


class Pickles:
    """Reads the pickles of what a task yields; all on the cluster's background loop."""

    def __init__(self, ask: AskWithin, handle: Handle) -> None:
        self._handle = handle
        self._ask = ask
        # What was read and the reader has not taken: one that stops waiting loses nothing.
        self.ready: deque[bytes] = deque()
        self._given = 0  # to the reader, or ready for it
        self._outcome: Outcome | None = None
        self._attempt = 0
        self._begin(0)

    def _begin(self, attempt: int) -> None:
        """Begin with an attempt, 0 for the newest."""
        self._attempt = attempt
        self._reader = ItemReader()
        self._offset = 0
        self._seen = 0  # of this attempt
        # A task that has no node yet may have one in a moment: the first questions are short.
        self._wait_s = AGAIN_S_MIN

    async def more(self, timeout: float | None = None) -> None:
        """Read the next pickles into `ready`, as many as there are, at least one; none behind the last one.

        Raises what the function raised, TimeoutError, ResultLostError, StreamBroken, ClusterUnavailable.
        """
        try:
            async with asyncio.timeout(timeout):
                while not self.ready and self._outcome is None:
                    await self._read()
        except TimeoutError:
            raise TimeoutError(f"{self._handle.id} has not yielded within {timeout} s") from None
        if not self.ready and self._outcome is not None:
            _check_end(self._outcome, self._seen, self._given)

    async def _read(self) -> None:
        """Read on, and note how the task has ended."""
        piece = await self._piece()
        if piece is not None:
            self._attempt = piece["attempt"]
            self._offset = piece["next_offset"]
            self._take(piece["data"])
            if piece["data"] or not piece["eof"]:
                return
        # The attempt is over; whether another one follows is not its node's to know.
        await self._follow()

    async def _piece(self) -> ItemsView | None:
        """Return the next piece; None where the node that had it is gone."""
        loop = asyncio.get_running_loop()
        ends_at = loop.time() + AWAY_S_MAX
        while True:
            try:
                wait_s, self._wait_s = self._wait_s, min(2 * self._wait_s, READ_WAIT_S)
                return await self._ask(
                    ReadItems(self._handle.id, self._attempt or None, self._offset), wait_s
                )
            except Refused as refused:
                if refused.rejected.code is ErrorCode.NOT_FOUND:
                    return None
                raise
            except ClusterUnavailable:
                # A node worker that was killed comes back, or its task is assigned again.
                task = await self._ask(GetTask(self._handle.id), 0.0)
                if loop.time() >= ends_at or Status(task["status"]) in TERMINAL:
                    raise
                if self._attempt and task["attempt"] > self._attempt:
                    return None
                await asyncio.sleep(AGAIN_S_MAX)

    def _take(self, data: bytes) -> None:
        for pickled in self._reader.feed(data):
            self._seen += 1
            if self._seen > self._given:
                self._given += 1
                self.ready.append(pickled)

    async def _follow(self) -> None:
        """Wait until the task has ended, or another attempt of it has begun."""
        pause_s = AGAIN_S_MIN
        while True:
            task = await self._ask(GetTask(self._handle.id), 0.0)
            if task["attempt"] > self._attempt and task["assigned_worker"] is not None:
                self._begin(task["attempt"])
                return
            if Status(task["status"]) in TERMINAL:
                self._outcome = await self._ended()
                return
            await asyncio.sleep(pause_s)
            pause_s = min(2 * pause_s, AGAIN_S_MAX)

    async def _ended(self) -> Outcome:
        try:
            return await asyncio.shield(asyncio.wrap_future(self._handle.future()))
        except NotCompleted as ended:
            return ended.outcome


def _check_end(outcome: Outcome, seen: int, given: int) -> None:
    """Raise the exception of a task that did not complete, or say why its items are not all there."""
    if outcome["status"] != "completed":
        value_of(outcome)
    items = yielded(outcome)
    if items is None:
        _refuse(outcome)
    if seen < items:
        raise ResultLostError(
            f"{outcome['id']} has yielded {items} items, and {items - min(seen, given)} of them are gone: "
            f"they were kept on {outcome['assigned_worker'] or 'a node'} (HELIX_LOG_KEEP_S)"
        )
    if items < given:
        raise StreamBroken(
            f"{outcome['id']} has yielded {items} items in attempt {outcome['attempt']}, and {given} before: "
            "a function that may be retried must yield the same items again"
        )


def _refuse(outcome: Outcome) -> NoReturn:
    if shard_outcomes(outcome) is not None:
        raise TypeError(f"{outcome['id']} has shards: read the stream of each of them")
    raise TypeError(f"{outcome['id']} did not yield: read its value with result()")


class Stream(Iterator[Any], AsyncIterator[Any]):
    """An iterator over what a task yields, for `for` and `async for`, and for one reader.

    After the last item it raises what the function raised. Ending the iteration does not end the task.
    """

    def __init__(
        self, ask: AskWithin, background: Background, handle: Handle, timeout: float | None = None
    ) -> None:
        """`timeout` is in seconds, for each item."""
        self._background = background
        self._id = handle.id
        self._timeout = timeout
        self._pickles = Pickles(ask, handle)
        self._ready = self._pickles.ready
        self._given = 0

    def __iter__(self) -> Stream:
        return self

    def __aiter__(self) -> Stream:
        return self

    def __next__(self) -> Any:
        """Return the next item, as soon as it was yielded.

        Raises the function's exception behind the items before it, TimeoutError, TaskFailedError,
        TaskCancelledError, ResultLostError, StreamBroken, ClusterUnavailable; TypeError where the function
        did not yield.
        """
        if not self._ready:
            with naming([self._id]):
                self._background.run(self._pickles.more(self._timeout), waits_for=self._id)
        if not self._ready:
            raise StopIteration
        return cloudpickle.loads(self._ready.popleft())

    async def __anext__(self) -> Any:
        """Return the next item as `__next__` does, without blocking the caller's event loop."""
        if not self._ready:
            await work_done(self._background.start(self._pickles.more(self._timeout)), self._id)
        if not self._ready:
            raise StopAsyncIteration
        self._given += 1
        if self._given % REST_EVERY_ITEMS == 0:
            await asyncio.sleep(0)
        return cloudpickle.loads(self._ready.popleft())


async def all_pickles(ask: AskWithin, handle: Handle) -> list[bytes]:
    """Return the pickles of all that a task has yielded; raises as `Pickles.more` does."""
    pickles = Pickles(ask, handle)
    found: list[bytes] = []
    await pickles.more()
    while pickles.ready:
        found += pickles.ready
        pickles.ready.clear()
        await pickles.more()
    return found
