"""Measures the turns of an event loop: a timer fires every BEAT_S, and its delay is the length of a turn.

A turn here is the time in which nothing else could run: one long call, or many short ones that were ready
together. The timer costs less than a thousandth of a core.
"""

from __future__ import annotations

import asyncio
import contextlib
import secrets
import time
from collections.abc import Awaitable, Callable
from typing import Any

from helix_ray.core.turns import Turns
from helix_ray.core.views.figures import LoopReport, ReplicaReport, WebhookFigures
from helix_ray.followers.lag import Lag

BEAT_S = 0.02
REPORT_EVERY_S = 5.0

# Takes kind of process, process and report, as the master's `take_turns` does.
Send = Callable[[str, str, LoopReport], Awaitable[Any]]


class TurnMeter:
    """Measures one loop; `start` must be called on the loop, `close` ends it."""

    def __init__(self, kind: str) -> None:
        self.kind = kind
        self.turns = Turns()
        # How far behind the followers of this process are.
        self.lags: list[Callable[[], Lag]] = []
        # What the notifier has done, in its process.
        self.webhooks: Callable[[], WebhookFigures] | None = None
        # What an API replica has answered, in its process.
        self.replica: Callable[[], ReplicaReport] | None = None
        # Distinguishes processes of a kind while they run; not an id of anything else.
        self._process = secrets.token_hex(8)
        self._tasks: list[asyncio.Task[None]] = []

    def start(self, send: Send | None = None) -> None:
        """Start to measure, and to report every REPORT_EVERY_S; a second call does nothing."""
        if not self._tasks:
            loop = asyncio.get_running_loop()
            self._tasks = [loop.create_task(self._beat())]
            if send is not None:
                self._tasks.append(loop.create_task(self._report(send)))

    def close(self) -> None:
        """Stop; safe to call twice."""
        for task in self._tasks:
            task.cancel()
        self._tasks = []

    def report(self) -> LoopReport:
        """Return the figures as JSON values."""
        lags = [lag() for lag in self.lags]
        report: LoopReport = {
            **self.turns.report(time.monotonic()),
            "lags": {lag.name: lag.facts for lag in lags},
        }
        if self.webhooks is not None:
            report["webhooks"] = self.webhooks()
        if self.replica is not None:
            report["replica"] = self.replica()
        return report

    async def _beat(self) -> None:
        clock = time.monotonic
        while True:
            due = clock() + BEAT_S
            await asyncio.sleep(BEAT_S)
            now = clock()
            self.turns.over(max(0.0, now - due), now)

    async def _report(self, send: Send) -> None:
        while True:
            await asyncio.sleep(REPORT_EVERY_S)
            # A report that fails is replaced by the next one, five seconds later.
            with contextlib.suppress(Exception):
                await send(self.kind, self._process, self.report())
