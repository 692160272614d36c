"""Followers for tests, and facts to follow."""

from __future__ import annotations

import asyncio
from pathlib import Path

from helix_ray.core.events import Fact, TaskSubmitted
from helix_ray.followers.cursor import CursorFile
from helix_ray.followers.feed import BatchLimits, Feed
from helix_ray.followers.following import Consumer, Following, WithCursor
from helix_ray.ports import Batch
from helix_ray.views.history import History

KEY = b"k" * 32

SPEC = {"title": "t", "type": "planning"}


def facts(first: int, last: int, text: str = "") -> list[Fact]:
    return [
        Fact(
            seq,
            1000.0 + seq,
            "user-1",
            f"req-{seq}",
            TaskSubmitted(f"task-{seq}", "user-1", {**SPEC, "text": text}),
        )
        for seq in range(first, last + 1)
    ]


class GivenFacts:
    """A feed of a list of facts, each batch `size` at most, that may fail first."""

    def __init__(self, known: list[Fact], size: int = 10) -> None:
        self.known, self.size = known, size
        self.failures: list[Exception] = []
        self.asked: list[int] = []

    async def after(self, cursor: int, limits: BatchLimits, wait_s: float) -> Batch:
        self.asked.append(cursor)
        if self.failures:
            raise self.failures.pop(0)
        found = tuple(self.known[cursor : cursor + min(self.size, limits.facts_max)])
        return Batch(found, found[-1].seq if found else cursor, len(self.known))


class Seen:
    """A consumer of either sort that remembers what it was given; `fail` raises before its cursor moves."""

    def __init__(self, inner: Consumer | None, file: CursorFile | None) -> None:
        self.seqs: list[int] = []
        self.ends: list[int] = []
        self.fail: Exception | None = None
        counted = WithCursor(self.effect, file) if file is not None else inner
        self.inner: Consumer = counted  # type: ignore[assignment]
        self._with_file = file is not None

    async def effect(self, batch: Batch) -> None:
        self.seqs += [fact.seq for fact in batch.facts]
        if self.fail is not None:
            raise self.fail

    @property
    def cursor(self) -> int:
        return self.inner.cursor

    async def take(self, batch: Batch) -> None:
        if not self._with_file:
            await self.effect(batch)
        await self.inner.take(batch)

    async def beyond(self, head: int) -> None:
        self.ends.append(head)
        await self.inner.beyond(head)


class Tables:
    """The history: facts and cursor in one transaction."""

    def __init__(self, path: Path) -> None:
        self.history = History(path)

    @property
    def cursor(self) -> int:
        return self.history.cursor

    async def take(self, batch: Batch) -> None:
        self.history.ingest(batch.facts)

    async def beyond(self, head: int) -> None:
        raise AssertionError("the history is made again by its owner")


async def no_sleep(seconds: float) -> None:
    await asyncio.sleep(0)


def follower(consumer: Consumer, feed: Feed, limits: BatchLimits | None = None) -> Following:
    return Following("trial", consumer, feed, limits, sleep=no_sleep)


async def follow_to_head(following: Following) -> None:
    while not await following.step():
        pass
