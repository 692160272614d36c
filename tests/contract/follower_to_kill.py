"""The far side of test_followers.py: a follower whose effect is a line in a file, killed
between effect and cursor.

`python follower_to_kill.py DATA_DIR EFFECTS KILL_AFTER`: it ends by SIGKILL when its effect was done
KILL_AFTER times and its cursor has not moved past the last; with 0 it follows to the head and ends well.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from pathlib import Path

from helix_ray.followers.cursor import CursorFile
from helix_ray.followers.feed import BatchLimits
from helix_ray.followers.following import Following, WithCursor
from helix_ray.journal.fact_reader import FactReader
from helix_ray.ports import Batch


class Files:
    """Facts of the journal's files, without its owner."""

    def __init__(self, data_dir: Path, head: int) -> None:
        self._reader, self._head = FactReader(data_dir), head

    async def after(self, cursor: int, limits: BatchLimits, wait_s: float) -> Batch:
        facts = tuple(self._reader.read(cursor, self._head, limits.facts_max, limits.bytes_max))
        return Batch(facts, facts[-1].seq if facts else cursor, self._head)


async def follow(data_dir: Path, effects: Path, kill_after: int, head: int) -> None:
    times = 0

    async def effect(batch: Batch) -> None:
        nonlocal times
        with effects.open("a") as file:
            file.writelines(f"{fact.seq}\n" for fact in batch.facts)
        times += 1
        if times == kill_after:
            os.kill(os.getpid(), signal.SIGKILL)

    consumer = WithCursor(effect, CursorFile(data_dir, "trial", 0))
    following = Following("trial", consumer, Files(data_dir, head), BatchLimits(10))
    while not await following.step():
        pass


if __name__ == "__main__":
    asyncio.run(follow(Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4])))
