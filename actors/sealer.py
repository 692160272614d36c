"""Moves old facts to segments while the master serves: writes them on a thread, and
deletes rows a few at a time.

helix_ray/journal/sealing.py describes the steps, and what happens after a kill.
"""

from __future__ import annotations

import asyncio
import logging
import sqlite3
import time
from collections.abc import Callable

from helix_ray.journal import pruning
from helix_ray.journal.errors import JournalDamaged
from helix_ray.journal.sqlite import SqliteJournal

log = logging.getLogger(__name__)

# The pause between two pieces of work that delay commits.
PAUSE_S = 0.05
# The pause after a segment that could not be written.
TRY_AGAIN_S = 60.0


class Sealer:
    """Keeps a journal's file within its limits."""

    def __init__(self, journal: Callable[[], SqliteJournal], keep_s: float, keep_bytes: int) -> None:
        """`journal` returns the current journal, which may be reopened meanwhile."""
        self._journal = journal
        self._keep_s = keep_s
        self._keep_bytes = keep_bytes
        self._not_before = 0.0
        # The highest number of an author when those without facts were last removed.
        self._pruned_through = 0

    async def move_if_due(self) -> None:
        """Move all facts that are due, the oldest first, and release the space; failures are
        logged and tried again later."""
        if time.monotonic() < self._not_before:
            return
        try:
            moved = False
            while await self._move_one():
                moved = True
            if moved:
                await self._prune_authors()
        except (OSError, sqlite3.Error, JournalDamaged) as error:
            log.error("cannot move old facts to a segment, retrying later: %s", error)
            self._not_before = time.monotonic() + TRY_AGAIN_S

    async def _move_one(self) -> bool:
        journal = self._journal()
        while journal.clear_some():
            await asyncio.sleep(PAUSE_S)
        first = journal.sealing_due(self._keep_s, self._keep_bytes, time.time())
        if first is None:
            return False
        sealed = await asyncio.to_thread(journal.seal, first)
        if journal.adopt(sealed):
            log.info("moved facts %d to %d to %s", sealed.first, sealed.last, sealed.file)
        return True

    async def _prune_authors(self) -> None:
        """Remove the authors that only facts in segments name."""
        remembered = self._journal().remembered_authors()
        if remembered.highest - self._pruned_through < pruning.AUTHORS_PER_PRUNING:
            return
        found = await asyncio.to_thread(self._journal().unnamed_authors, remembered)
        for numbers in pruning.portions(found):
            self._journal().remove_authors(numbers)
            await asyncio.sleep(PAUSE_S)
        self._pruned_through = remembered.highest
        if found:
            log.info("removed %d authors whose facts have all moved to segments", len(found))
