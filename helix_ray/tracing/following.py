"""Exports the spans of tasks beside a follower that reads all facts anyway."""

from __future__ import annotations

import time
from collections.abc import Callable

from helix_ray.core.events import Fact
from helix_ray.tracing.exporter import Exporter
from helix_ray.tracing.task_spans import TaskSpans

# What ended longer than this before the process began was exported by the one before it, or never will be.
BEFORE_S = 60.0


class TaskTraces:
    """Takes the facts of a follower, and loses what is on its way when the process is killed: traces are for
    people who look for time, not a record."""

    def __init__(self, exporter: Exporter, clock: Callable[[], float] = time.time) -> None:
        self._exporter = exporter
        self._spans = TaskSpans()
        self._since = clock() - BEFORE_S

    def take(self, facts: tuple[Fact, ...]) -> None:
        """Queue the spans that end with these facts."""
        forgotten = self._spans.forgotten
        spans = [span for span in self._spans.take(facts) if span.ended_at >= self._since]
        self._exporter.figures["dropped"] += self._spans.forgotten - forgotten
        if spans:
            self._exporter.note(*spans)

    async def close(self) -> None:
        """Send what waits."""
        await self._exporter.close()
