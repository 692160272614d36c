"""Checks all facts of the journal from time to time, while the server runs.

A start checks only the facts since the newest snapshot. This check reads every fact and every node of the
tree, and compares HEAD. It reads some thousand facts at a time and rests in between, so that neither the
write-ahead log nor the other work of its process waits for it.
"""

from __future__ import annotations

import asyncio
import logging
import sqlite3
import time
from pathlib import Path

from helix_ray.checkpoints import CheckpointFailed, verify
from helix_ray.core.posture import JournalCheck
from helix_ray.journal.checked import read_check, write_check
from helix_ray.journal.errors import JournalError

log = logging.getLogger(__name__)

# Of the time of this process the check takes at most a quarter.
REST_PER_STEP = 3.0
LOOK_EVERY_S = 30.0


class ChainCheck:
    """Checks the journal of a data directory every `every_s` seconds, across restarts."""

    def __init__(self, data_dir: Path, every_s: float) -> None:
        self._data_dir = data_dir
        self._every_s = every_s

    async def check_if_due(self) -> None:
        """Check where the last check is too long ago, or that time is in the future."""
        last = await asyncio.to_thread(read_check, self._data_dir)
        if last is None or not 0 <= time.time() - last.at < self._every_s:
            await asyncio.to_thread(self.check)

    def check(self) -> None:
        """Check all facts now and keep the result; what cannot be read now is tried again later."""
        pace = _Pace()
        try:
            found = JournalCheck(time.time(), verify(self._data_dir, on_facts=pace.step).size)
        except JournalError as error:
            log.critical("the journal's chain does not fit: %s", error)
            found = JournalCheck(time.time(), pace.facts, str(error))
        except (CheckpointFailed, OSError, sqlite3.Error) as error:
            log.warning("the journal could not be checked: %s", error)
            return
        try:
            write_check(self._data_dir, found)
        except OSError as error:
            log.warning("the result of the check could not be written: %s", error)

    async def run(self) -> None:
        """Check for ever, as a loop of an actor: one look."""
        await self.check_if_due()
        await asyncio.sleep(min(LOOK_EVERY_S, self._every_s))


class _Pace:
    """Rests after each step, and remembers how far the check is."""

    def __init__(self) -> None:
        self.facts = 0
        self._began = time.monotonic()

    def step(self, facts: int) -> None:
        self.facts = facts
        time.sleep(REST_PER_STEP * (time.monotonic() - self._began))
        self._began = time.monotonic()
