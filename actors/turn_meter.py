"""Measures the turns of an event loop: a beat asks to be woken every BEAT_S, and what it is
late by is a turn.

A turn here is the time for which nothing else got its turn, whatever ran: one long call, or many short ones
that were all ready at once. Five such beats a process cost less than a thousandth of a core.
"""

from __future__ import annotations

import asyncio
import contextlib
import secrets
import time
from collections.abc import Awaitable, Callable
from typing import Any

from helix_ray.core.turns import Turns

BEAT_S = 0.02
TELL_EVERY_S = 5.0

# Takes kind of process, process and report, as the master's `take_turns` does.
Tell = Callable[[str, str, dict[str, Any]], Awaitable[Any]]


class TurnMeter:
    """One loop's beat; `start` is called on the loop, `close` ends it."""

    def __init__(self, kind: str) -> None:
        self.kind = kind
        self.turns = Turns()
        # Tells processes of a kind apart for as long as they live; it is no id of anything.
        self._process = secrets.token_hex(8)
        self._tasks: list[asyncio.Task[None]] = []

    def start(self, tell: Tell | None = None) -> None:
        """Begin to measure, and to tell somebody every TELL_EVERY_S; the second call does nothing."""
        if not self._tasks:
            loop = asyncio.get_running_loop()
            self._tasks = [loop.create_task(self._beat())]
            if tell is not None:
                self._tasks.append(loop.create_task(self._tell(tell)))

    def close(self) -> None:
        """Stop; safe to call twice."""
        for task in self._tasks:
            task.cancel()
        self._tasks = []

    def report(self) -> dict[str, Any]:
        """Return the figures as JSON values."""
        return self.turns.report(time.monotonic())

    async def _beat(self) -> None:
        clock = time.monotonic
        while True:
            due = clock() + BEAT_S
            await asyncio.sleep(BEAT_S)
            now = clock()
            self.turns.over(max(0.0, now - due), now)

    async def _tell(self, tell: Tell) -> None:
        while True:
            await asyncio.sleep(TELL_EVERY_S)
            # Whoever cannot be told is told five seconds later.
            with contextlib.suppress(Exception):
                await tell(self.kind, self._process, self.report())
