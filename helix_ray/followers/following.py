"""The loop of every follower that reads facts after its own cursor.

    1. ask     the feed for the facts after the cursor; the answer is the wake-up, which has no content
    2. effect  the consumer processes the facts
    3. cursor  the cursor is moved durably: in the same transaction as the effect if possible, else later

A kill between 2 and 3 repeats a batch, and none is skipped: an effect outside a transaction happens at least
once, and its receivers recognise repetitions by the seq. Wake-ups may be lost, repeated or out of order; only
the cursor decides what is read.

Batches are limited by facts and bytes (feed.py). Nothing is read while the consumer works, so a slow consumer
keeps no facts and no transaction open except those of its batch. Failures are retried with backoff, for ever,
with one line in the log for each reason.
"""

from __future__ import annotations

import asyncio
import logging
import sqlite3
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Protocol

from helix_ray.core.errors import Refused
from helix_ray.followers.cursor import CursorFile
from helix_ray.followers.feed import BatchLimits, Feed
from helix_ray.followers.lag import Lag
from helix_ray.ports import Batch

log = logging.getLogger(__name__)

WAIT_S = 5.0
AGAIN_S_MIN = 0.2
AGAIN_S_MAX = 3.0
# Expected failures of the machine or the network; all other exceptions are logged with a traceback.
Trouble = (Refused, OSError, sqlite3.Error)


class Consumer(Protocol):
    """Processes facts and keeps the cursor of one follower."""

    @property
    def cursor(self) -> int:
        """The seq after which facts are wanted."""
        ...

    async def take(self, batch: Batch) -> None:
        """Process the batch and move the cursor to the batch's. If it raises, it gets the batch again."""
        ...

    async def beyond(self, head: int) -> None:
        """Start over: the journal ends at `head`, before the cursor, so it is another journal (restored from
        a backup, say)."""
        ...


class Effect(Protocol):
    """An effect that cannot be in one transaction with a cursor: calls, messages, files."""

    async def __call__(self, batch: Batch) -> None:
        """Process the facts; may be called again with the same ones."""
        ...


class WithCursor:
    """A consumer that has an effect and a cursor in a file: first the effect, then the cursor."""

    def __init__(self, effect: Effect, cursor: CursorFile) -> None:
        self._effect = effect
        self._file = cursor

    @property
    def cursor(self) -> int:
        """The seq after which facts are wanted."""
        return self._file.cursor

    async def take(self, batch: Batch) -> None:
        """Run the effect, then move the cursor."""
        if batch.facts:
            await self._effect(batch)
        await asyncio.to_thread(self._file.save, batch.cursor)

    async def beyond(self, head: int) -> None:
        """Continue after `head`, without effects for the facts up to it."""
        await asyncio.to_thread(self._file.save, head)


class Following:
    """The loop of one follower; several may share a process and a feed."""

    def __init__(
        self,
        name: str,
        consumer: Consumer,
        feed: Feed,
        limits: BatchLimits | None = None,
        *,
        wait_s: float = WAIT_S,
        sleep: Callable[[float], Awaitable[object]] = asyncio.sleep,
    ) -> None:
        """`wait_s` is how long one request waits for news; `sleep` waits between two tries."""
        self.name = name
        self._consumer = consumer
        self._feed = feed
        self._limits = limits or BatchLimits()
        self._wait_s = wait_s
        self._sleep = sleep
        self._head = consumer.cursor
        self._reason: str | None = None
        self._again_s = AGAIN_S_MIN

    def lag(self) -> Lag:
        """Return how far it is behind."""
        return Lag(self.name, self._consumer.cursor, self._head)

    async def run(self) -> None:
        """Follow for ever; cancel it to end it."""
        while True:
            await self.step()

    async def step(self) -> bool:
        """Read and process one batch; say whether it has reached the head. Waits after a failure."""
        try:
            at_head = await self._step()
        except Trouble as error:
            await self._back_off(error, f"{type(error).__name__}: {error}")
            return False
        except Exception as error:
            await self._back_off(error, repr(error), surprise=True)
            return False
        if self._reason is not None:
            log.info("%s follows the journal again, from fact %d", self.name, self._consumer.cursor)
        self._reason, self._again_s = None, AGAIN_S_MIN
        return at_head

    async def _step(self) -> bool:
        consumer = self._consumer
        batch = await self._feed.after(consumer.cursor, self._limits, self._wait_s)
        self._head = batch.head
        if batch.head < consumer.cursor:
            log.warning(
                "%s is at fact %d, and the journal ends at %d: it is another journal",
                self.name, consumer.cursor, batch.head,
            )  # fmt: skip
            await consumer.beyond(batch.head)
            return False
        if batch.cursor > consumer.cursor:
            await consumer.take(_after(batch, consumer.cursor))
        return consumer.cursor >= batch.head

    async def _back_off(self, error: Exception, reason: str, *, surprise: bool = False) -> None:
        if reason != self._reason:
            log.warning(
                "%s cannot follow the journal, retrying: %s",
                self.name,
                reason,
                exc_info=error if surprise else None,
            )
        self._reason = reason
        await self._sleep(self._again_s)
        self._again_s = min(2 * self._again_s, AGAIN_S_MAX)


def _after(batch: Batch, cursor: int) -> Batch:
    """Return a batch without the facts up to the cursor."""
    if not batch.facts or batch.facts[0].seq > cursor:
        return batch
    return replace(batch, facts=tuple(fact for fact in batch.facts if fact.seq > cursor))
