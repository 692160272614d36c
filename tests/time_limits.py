"""Time limits of attempts that are meant to reach theirs, on a machine that may be busy with other tests."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")

# The last one is for a machine that has stood still for a while.
LIMITS_S = (0.5, 2.0, 8.0, 32.0)


def with_time_enough(attempt: Callable[[float], T], had_begun: Callable[[T], bool]) -> T:
    """Return the first attempt that had done what is tested before its time was over.

    `attempt(limit_s)` makes one with a time limit; each has more time than the one before it.
    """
    for limit_s in LIMITS_S:
        made = attempt(limit_s)
        if had_begun(made):
            break
    return made
