"""Where a follower's facts come from: from the control plane while it is near the head, from the journal's
files while it is far behind.

The control plane's process has the newest facts in memory, and is asked with patience: its answer is the
wake-up. Who has a million facts to catch up on must not make it read the disk for them. On the machine that
has the data directory they are read from there, also from sealed segments, up to the head that it told.
"""

from __future__ import annotations

import asyncio
import logging
import sqlite3
from dataclasses import dataclass
from typing import Protocol

from helix_ray.core.access import SYSTEM, Principal
from helix_ray.journal.errors import JournalDamaged, JournalTooNew
from helix_ray.journal.fact_reader import FactReader
from helix_ray.ports import Batch, ControlPlane

log = logging.getLogger(__name__)

# Whoever is further behind the head reads the files: well within what the engine keeps in memory.
NEAR_FACTS_MAX = 20_000


@dataclass(frozen=True, slots=True)
class BatchLimits:
    """How much a batch may have: it ends with the fact that reaches either; one fact may be larger."""

    facts_max: int = 5000
    bytes_max: int = 8 << 20


class Feed(Protocol):
    """Facts after a cursor, waiting for news up to `wait_s` seconds. Raises Refused where nobody answers."""

    async def after(self, cursor: int, limits: BatchLimits, wait_s: float) -> Batch:
        """Return the next facts, in order and without a gap but for what is not to be seen."""
        ...


class PlaneFeed:
    """What somebody sees of the facts, as the control plane gives them; for followers wherever they run."""

    def __init__(self, plane: ControlPlane, by: Principal = SYSTEM) -> None:
        self._plane = plane
        self._by = by

    async def after(self, cursor: int, limits: BatchLimits, wait_s: float) -> Batch:
        """Return the next facts; the control plane bounds their bytes."""
        return await self._plane.events(cursor, limits.facts_max, self._by, wait_s)


class HeadFeed:
    """All facts, for followers of the system on the machine that has the data directory."""

    def __init__(self, near: Feed, reader: FactReader) -> None:
        self._near = near
        self._reader: FactReader | None = reader
        self._head = 0

    async def after(self, cursor: int, limits: BatchLimits, wait_s: float) -> Batch:
        """Return the next facts: from the files while the head was far ahead when it was told last."""
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
            # The owner of the journal says what is wrong with it, if anything is.
            log.warning("cannot read the journal's files, asking the master for all facts: %s", error)
            self._reader = None
            return None
        return Batch(tuple(facts), facts[-1].seq, self._head) if facts else None
