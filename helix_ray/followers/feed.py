"""Sources of a follower's facts: the control plane, or the journal's files.

The process of the control plane has the newest facts in memory and answers a long poll with them. To pickle a
fact there and to read it here costs more than to read its row, and the control plane is the one process that
everything waits for: on the machine with the data directory, a follower gets the first facts after its cursor
from the control plane, and reads those that follow in the files itself, sealed segments included, up to the
head that it was told.
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

# A follower further behind the head reads the files. Fewer facts cost less in an answer, which is needed to
# learn the head, than a transaction of the files and its statements.
NEAR_FACTS_MAX = 250
# Where the files cannot be read: the control plane makes an answer in one turn of its loop.
ANSWER_FACTS_MAX = 4_000


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
        """Return the next facts: from the files if the last known head is far ahead, else an answer of the
        control plane, and what follows it in the files. Both together have at most `facts_max` facts, and
        twice `bytes_max`."""
        if self._head - cursor > NEAR_FACTS_MAX:
            batch = await self._from_files(cursor, limits)
            if batch is not None:
                return batch
        near_max = ANSWER_FACTS_MAX if self._reader is None else NEAR_FACTS_MAX
        asked = replace(limits, facts_max=min(limits.facts_max, near_max))
        near = await self._near.after(cursor, asked, wait_s)
        self._head = near.head
        left = limits.facts_max - len(near.facts)
        # An answer that bytes have cut is large enough.
        if len(near.facts) < asked.facts_max or left <= 0 or near.cursor >= near.head:
            return near
        rest = await self._from_files(near.cursor, replace(limits, facts_max=left))
        return near if rest is None else replace(rest, facts=(*near.facts, *rest.facts))

    async def _from_files(self, cursor: int, limits: BatchLimits) -> Batch | None:
        reader = self._reader
        if reader is None:
            return None
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
