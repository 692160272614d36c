"""When there will be room again: a full queue is answered with a time that follows
from how fast tasks end."""

from __future__ import annotations

from math import ceil

from helix_ray.core.state import DRAIN_SLICE_S, DRAIN_SLICES, State

RETRY_AFTER_S_MIN = 1
RETRY_AFTER_S_MAX = 600
# While nothing has ended lately nobody knows; asking again costs little.
RETRY_AFTER_S_UNKNOWN = 30


def endings_per_s(state: State, now: float) -> float:
    """Return how many tasks ended a second, over the newest minute (DRAIN_SLICES slices of DRAIN_SLICE_S)."""
    current = int(now / DRAIN_SLICE_S)
    ended = sum(count for slice_, count in state.endings if current - DRAIN_SLICES <= slice_ <= current)
    return ended / (DRAIN_SLICES * DRAIN_SLICE_S)


def retry_after_s(state: State, now: float, tasks: int) -> int:
    """Return after how many seconds so many tasks will have ended, at the present rate."""
    rate = endings_per_s(state, now)
    if rate <= 0:
        return RETRY_AFTER_S_UNKNOWN
    return max(RETRY_AFTER_S_MIN, min(RETRY_AFTER_S_MAX, ceil(tasks / rate)))
