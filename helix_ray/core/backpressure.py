"""When a full queue will have room again: a Retry-After computed from how fast tasks end."""

from __future__ import annotations

from math import ceil

from helix_ray.core.state import DRAIN_SLICE_S, DRAIN_SLICES, State

RETRY_AFTER_S_MIN = 1
RETRY_AFTER_S_MAX = 600
# Without recent endings the rate is unknown; asking again is cheap.
RETRY_AFTER_S_UNKNOWN = 30


def endings_per_s(state: State, now: float) -> float:
    """Return how many tasks ended per second in the last minute (DRAIN_SLICES slices of DRAIN_SLICE_S)."""
    current = int(now / DRAIN_SLICE_S)
    ended = sum(count for slice_, count in state.endings if current - DRAIN_SLICES <= slice_ <= current)
    return ended / (DRAIN_SLICES * DRAIN_SLICE_S)


def retry_after_s(state: State, now: float, tasks: int) -> int:
    """Return after how many seconds this many tasks will have ended, at the current rate."""
    rate = endings_per_s(state, now)
    if rate <= 0:
        return RETRY_AFTER_S_UNKNOWN
    return max(RETRY_AFTER_S_MIN, min(RETRY_AFTER_S_MAX, ceil(tasks / rate)))
