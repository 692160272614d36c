"""Lets facts gather between two batches of a follower whose effect is cheaper for many facts at once.

While facts come fast, they gather longer: what is made of them is read later, and until then the machine's
processors belong to the work that makes them. Whoever waits for the follower ends a pause at once.
"""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Pauses:
    """How long facts gather; longer where so many came since the pause before."""

    quiet_s: float
    busy_s: float
    busy_facts: int


class GatheringPauses:
    """The pauses of one follower: it is behind by one of them at most, and by the time that a batch takes."""

    def __init__(self, pauses: Pauses) -> None:
        self._pauses = pauses
        self._facts = 0
        self._hurry = asyncio.Event()

    @property
    def next_s(self) -> float:
        """Return how long the next pause is."""
        pauses = self._pauses
        return pauses.busy_s if self._facts >= pauses.busy_facts else pauses.quiet_s

    def took(self, facts: int) -> None:
        """Take note of a batch of so many facts."""
        self._facts += facts

    def hurry(self) -> None:
        """End this pause, or the next one if there is none: somebody waits."""
        self._hurry.set()

    async def pause(self) -> bool:
        """Let facts gather, unless somebody waits for them; say whether somebody does."""
        pause_s, self._facts = self.next_s, 0
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(pause_s):
                await self._hurry.wait()
        hurried = self._hurry.is_set()
        self._hurry.clear()
        return hurried
