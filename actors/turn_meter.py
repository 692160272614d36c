"""Measures the turns of an event loop: a timer fires every BEAT_S, and its delay is the length of a turn.

A turn here is the time in which nothing else could run: one long call, or many short ones that were ready
together. It is measured from the moment when the timer was due, so it may be longer by a beat at most.

A wake-up costs tens of microseconds on machines that are idle, and each of our processes has a meter: a loop
whose turns were all short for REST_AFTER_S is measured every REST_BEAT_S (`python -m benchmarks idle`).
"""

from __future__ import annotations

import asyncio
import contextlib
import secrets
import time
from collections.abc import Awaitable, Callable
from typing import Any

from helix_ray.core.turns import Turns
from helix_ray.core.views.figures import LoopReport, ReplicaReport, TraceFigures, WebhookFigures
from helix_ray.followers.lag import Lag

BEAT_S = 0.02
REST_BEAT_S = 0.1
REST_AFTER_S = 1.0
# Delays up to this one are those of a busy machine, too, and no reason for a closer look.
SHORT_S = 0.05
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
        # What this process has exported.
        self.traces: TraceFigures | None = None
        # What an API replica has answered, in its process.
        self.replica: Callable[[], ReplicaReport] | None = None
        # Distinguishes processes of a kind while they run; not an id of anything else.
        self._process = secrets.token_hex(8)
        self._timer: asyncio.TimerHandle | None = None
        self._due = 0.0
        self._long_at = 0.0
        self._reporting: asyncio.Task[None] | None = None

    def start(self, send: Send | None = None) -> None:
        """Start to measure, and to report every REPORT_EVERY_S; a second call does nothing."""
        if self._timer is None:
            loop = asyncio.get_running_loop()
            self._long_at = time.monotonic()
            self._await_beat(loop, self._long_at)
            if send is not None:
                self._reporting = loop.create_task(self._report(send))

    def close(self) -> None:
        """Stop; safe to call twice."""
        for running in (self._timer, self._reporting):
            if running is not None:
                running.cancel()
        self._timer = self._reporting = None

    def report(self) -> LoopReport:
        """Return the figures as JSON values."""
        lags = [lag() for lag in self.lags]
        report: LoopReport = {
            **self.turns.report(time.monotonic()),
            "lags": {lag.name: lag.facts for lag in lags},
        }
        if self.webhooks is not None:
            report["webhooks"] = self.webhooks()
        if self.traces is not None:
            report["traces"] = self.traces
        if self.replica is not None:
            report["replica"] = self.replica()
        return report

    def _beat(self, loop: asyncio.AbstractEventLoop) -> None:
        now = time.monotonic()
        late_s = max(0.0, now - self._due)
        self.turns.over(late_s, now)
        if late_s > SHORT_S:
            self._long_at = now
        self._await_beat(loop, now)

    def _await_beat(self, loop: asyncio.AbstractEventLoop, now: float) -> None:
        beat_s = BEAT_S if now - self._long_at < REST_AFTER_S else REST_BEAT_S
        self._due = now + beat_s
        # A timer without a task: half of the cost of a sleep.
        self._timer = loop.call_later(beat_s, self._beat, loop)

    async def _report(self, send: Send) -> None:
        while True:
            await asyncio.sleep(REPORT_EVERY_S)
            # A report that fails is replaced by the next one, five seconds later.
            with contextlib.suppress(Exception):
                await send(self.kind, self._process, self.report())
