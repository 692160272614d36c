"""One key's sliding window."""

from __future__ import annotations

import math
from array import array
from bisect import bisect_left

from helix_ray.core.limits.messages import UsageRow

RUNS_PER_WINDOW_MAX = 1_000


class SlidingWindow:
    """At most `limit` units in any half-open interval of `window_s` seconds.

    Used units are stored as runs (stamp, count). A stamp is rounded up to a thousandth of the
    window and never decreases, so a unit counts slightly too long, never too short, and there are
    at most about a thousand runs.
    """

    __slots__ = ("_counts", "_stamps", "limit", "used", "window_s")

    def __init__(self, limit: int, window_s: float) -> None:
        if limit < 1 or window_s <= 0:
            raise ValueError(
                f"a limit must have at least 1 unit and a window above 0 s, not {limit} in {window_s} s"
            )
        self.limit = limit
        self.window_s = window_s
        self.used = 0
        self._stamps = array("d")
        self._counts = array("q")

    def take(self, n: int, now: float) -> int:
        """Use up to n units now; return how many were granted."""
        return self.grant(n, now, 0.0)[0]

    def grant(self, n: int, now: float, ttl_s: float) -> tuple[int, UsageRow]:
        """Grant up to n units to be spent within ttl_s: they count from now until a
        window after now + ttl_s."""
        granted = max(min(n, self.remaining(now)), 0)
        if not granted:
            return 0, UsageRow("", now, 0)
        resolution = self.window_s / RUNS_PER_WINDOW_MAX
        latest = now + ttl_s
        return granted, self.record(granted, max(latest, math.ceil(latest / resolution) * resolution))

    def record(self, units: int, stamp: float) -> UsageRow:
        """Count units that are used no later than `stamp`; return their run, without a key."""
        if self._stamps and stamp <= self._stamps[-1]:
            self._counts[-1] += units
        else:
            self._stamps.append(stamp)
            self._counts.append(units)
        self.used += units
        return UsageRow("", self._stamps[-1], self._counts[-1])

    def give_back(self, n: int, stamp: float) -> UsageRow:
        """Free units of the run at `stamp` that will never be spent; a run that is gone frees nothing."""
        at = bisect_left(self._stamps, stamp)
        if at == len(self._stamps) or self._stamps[at] != stamp:
            return UsageRow("", stamp, 0)
        freed = min(n, self._counts[at])
        self._counts[at] -= freed
        self.used -= freed
        return UsageRow("", stamp, self._counts[at])

    def runs(self) -> list[UsageRow]:
        """Return the runs, without a key."""
        return [UsageRow("", stamp, count) for stamp, count in zip(self._stamps, self._counts, strict=True)]

    def remaining(self, now: float) -> int:
        """Return how many units are free now; negative when the limit was lowered below the units in use."""
        self._expire(now)
        return self.limit - self.used

    def reset_at(self, now: float) -> float:
        """Return when the next used unit frees up; `now` when none is in use."""
        self._expire(now)
        for stamp, count in zip(self._stamps, self._counts, strict=True):
            if count:
                return stamp + self.window_s
        return now

    def _expire(self, now: float) -> None:
        ended = 0
        # The difference is exact for epoch seconds; the sum stamp + window would be rounded.
        while ended < len(self._stamps) and now - self._stamps[ended] >= self.window_s:
            self.used -= self._counts[ended]
            ended += 1
        if ended:
            del self._stamps[:ended]
            del self._counts[:ended]
