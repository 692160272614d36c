"""Counts of seconds in buckets, as /metrics tells them."""

from __future__ import annotations

from bisect import bisect_left
from typing import TypedDict

# Upper bounds in seconds; one more bucket counts what took longer.
BOUNDS_S = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0)
LONG_BOUNDS_S = (0.01, 0.05, 0.1, 0.5, 1.0, 5.0, 10.0, 60.0, 300.0, 3600.0)


class HistogramView(TypedDict):
    """How many were in each bucket, and the sum of all in seconds."""

    counts: list[int]
    seconds: float


class Histogram:
    """Counts by bucket; `bounds` are in seconds."""

    def __init__(self, bounds: tuple[float, ...] = BOUNDS_S) -> None:
        self._bounds = bounds
        self.counts = [0] * (len(bounds) + 1)
        self.seconds = 0.0

    def note(self, seconds: float) -> None:
        """Count one."""
        self.counts[bisect_left(self._bounds, seconds)] += 1
        self.seconds += seconds

    def view(self) -> HistogramView:
        """Return the counts as JSON values."""
        return {"counts": list(self.counts), "seconds": self.seconds}
