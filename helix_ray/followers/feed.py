"""Sources of a follower's facts: the control plane while the follower is near the head, the journal's files
while it is far behind.

The process of the control plane has the newest facts in memory and answers a long poll with them. It must not
read its disk for a follower that is a million facts behind: on the machine with the data directory the
follower reads the files itself, sealed segments included, up to the last head that it got.
"""

from __future__ import annotations

import asyncio
import logging
import sqlite3
from dataclasses import dataclass, replace
from typing import Protocol

from helix_ray.core.access import SYSTEM, Principal
from helix_ray.journal.errors import JournalDamaged, JournalTooNew
from helix_ray.journal.fact_reader import FactReader
from helix_ray.ports import Batch, ControlPlane

log = logging.getLogger(__name__)

# A follower further behind the head reads the files. The engine keeps many more facts than this in memory.
NEAR_FACTS_MAX = 20_000


@dataclass(frozen=True, slots=True)
class BatchLimits:
    """Limits of a batch: it ends with the fact that reaches either of them, however large that fact is."""

    facts_max: int = 5000
    bytes_max: int = 8 << 20


class Feed(Protocol):
    """A source of facts after a cursor. Raises Refused when the control plane does not respond."""

    async def after(self, cursor: int, limits: BatchLimits, wait_s: float) -> Batch:
        """Return the next facts in order, without those that the caller may not see; wait up to `wait_s`
        seconds for the first."""
        ...


class PlaneFeed:
    """The facts that a principal may see, from the control plane; for followers on any machine."""

    def __init__(self, plane: ControlPlane, by: Principal = SYSTEM, *, abouts: bool = False) -> None:
        """`abouts`: with what each fact is about."""
        self._plane = plane
        self._by = by
        self._abouts = abouts

    async def after(self, cursor: int, limits: BatchLimits, wait_s: float) -> Batch:
        """Return the next facts; the control plane bounds their bytes."""
        return await self._plane.events(cursor, limits.facts_max, self._by, wait_s, abouts=self._abouts)


class HeadFeed:
    """All facts, for the system's own followers on the machine with the data directory."""

    def __init__(self, near: Feed, reader: FactReader) -> None:
        self._near = near
        self._reader: FactReader | None = reader
        self._head = 0

    async def after(self, cursor: int, limits: BatchLimits, wait_s: float) -> Batch:
        """Return the next facts: from the files if the last known head is far ahead."""
        if self._reader is not None and self._head - cursor > NEAR_FACTS_MAX:
            batch = await self._from_files(self._reader, cursor, limits)
            if batch is not None:
                return batch
        batch = await self._near.after(cursor, limits, wait_s)
        self._head = batch.head
        return batch

    async def _from_files(self, reader: FactReader, cursor: int, limits: BatchLimits) -> Batch | None:
        try:
            facts = await asyncio.to_thread(
                reader.read, cursor, self._head, limits.facts_max, limits.bytes_max
            )
        except (OSError, sqlite3.Error, JournalDamaged, JournalTooNew) as error:
            # If the journal is damaged, its owner reports that.
            log.warning("cannot read the journal's files, asking the master for all facts: %s", error)
            self._reader = None
            return None
        return Batch(tuple(facts), facts[-1].seq, self._head) if facts else None


class GatheringFeed:
    """The facts of several answers of another feed in one batch, for a consumer to which a batch costs much
    and the source of an answer must not take long.

    It asks again only after an answer with as many facts as it may have: one that bytes have cut is large
    enough, so a batch has at most `facts_max` / `answer_facts_max` times the bytes of an answer.
    """

    def __init__(self, feed: Feed, answer_facts_max: int) -> None:
        self._feed = feed
        self._answer_facts_max = answer_facts_max

    async def after(self, cursor: int, limits: BatchLimits, wait_s: float) -> Batch:
        """Return the next facts: waits for the first answer only."""
        each = replace(limits, facts_max=min(limits.facts_max, self._answer_facts_max))
        batch = answer = await self._feed.after(cursor, each, wait_s)
        while len(answer.facts) == each.facts_max and answer.cursor < answer.head:
            if len(batch.facts) + each.facts_max > limits.facts_max:
                break
            answer = await self._feed.after(batch.cursor, each, 0.0)
            if answer.head < batch.cursor:
                # It is another journal: the next request says so again.
                break
            facts, abouts = (*batch.facts, *answer.facts), (*batch.abouts, *answer.abouts)
            batch = Batch(facts, answer.cursor, answer.head, abouts)
        return batch
