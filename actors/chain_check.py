"""Checks all facts of the journal from time to time, while the server runs, in a process of its own.

A start checks only the facts since the newest snapshot. This check reads every fact and every node of the
tree, and compares HEAD. It takes 10 us of CPU a fact, so its process has the lowest priority and rests as
long as it works: neither the write-ahead log nor anybody's questions wait for it. It ends with the process
that started it.

    python -m actors.chain_check DATA_DIR     # what that process runs
"""

from __future__ import annotations

import asyncio
import logging
import os
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from helix_ray.checkpoints import CheckpointFailed, verify
from helix_ray.core.posture import JournalCheck
from helix_ray.journal.checked import read_check, write_check
from helix_ray.journal.errors import JournalError

log = logging.getLogger(__name__)

LOWEST_PRIORITY = 19
# Of one core the check takes at most a half.
REST_PER_STEP = 1.0
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
            await self._check_beside()

    async def _check_beside(self) -> None:
        command = (sys.executable, "-m", "actors.chain_check", str(self._data_dir))
        # A file, not a pipe: nobody has to read it while this waits, or is called off.
        with tempfile.TemporaryFile() as said:
            child = subprocess.Popen(command, stdout=said, stdin=subprocess.DEVNULL)
            try:
                code = await asyncio.to_thread(child.wait)
            finally:
                child.kill()
                child.wait()
            said.seek(0)
            reason = said.read().decode("utf-8", "replace").strip()
        if code != 0:
            log.warning("the journal could not be checked: %s", reason or f"code {code}")
            return
        found = await asyncio.to_thread(read_check, self._data_dir)
        if found is not None and found.damage is not None:
            log.critical("the check of the journal failed: %s", found.damage)

    async def run(self) -> None:
        """Check for ever, as a loop of an actor: one look."""
        await self.check_if_due()
        await asyncio.sleep(min(LOOK_EVERY_S, self._every_s))


def check(data_dir: Path, pause: Callable[[], None] = lambda: None) -> str | None:
    """Check all facts now and keep the result; return why it could not be checked. `pause` is called between
    steps of some thousand facts."""
    checked = 0

    def step(facts: int) -> None:
        nonlocal checked
        checked = facts
        pause()

    try:
        found = JournalCheck(time.time(), verify(data_dir, on_facts=step).size)
    except JournalError as error:
        found = JournalCheck(time.time(), checked, str(error))
    except (CheckpointFailed, OSError, sqlite3.Error) as error:
        return str(error)
    try:
        write_check(data_dir, found)
    except OSError as error:
        return f"the result could not be written: {error}"
    return None


class _Pace:
    """Rests after each step, and ends the process when the one that started it has ended."""

    def __init__(self) -> None:
        self._parent = os.getppid()
        self._began = time.monotonic()

    def pause(self) -> None:
        time.sleep(REST_PER_STEP * (time.monotonic() - self._began))
        if os.getppid() != self._parent:
            raise SystemExit("the server has ended")
        self._began = time.monotonic()


def main() -> int:
    """Check the journal of the data directory in the arguments; 1 with the reason where it cannot be read."""
    os.nice(LOWEST_PRIORITY - os.nice(0))
    failed = check(Path(sys.argv[1]), _Pace().pause)
    if failed is not None:
        print(failed)
    return 0 if failed is None else 1


if __name__ == "__main__":
    sys.exit(main())
