"""Notices that the wall clock was set back: while a process runs, beside a clock that only goes on; between
two runs, by a time that was known before.

What is due by the wall clock would be late by so much. A clock that is set ahead, or stood still with its
machine, makes it early at worst.
"""

from __future__ import annotations

from typing import Final

# Less is not worth looking for.
STEP_S_MIN: Final = 1.0


def step_back_s(known_at: float, wall: float) -> float:
    """Return how far the wall clock was set back at least since a time was known; 0.0 where it was not."""
    return known_at - wall if known_at - wall >= STEP_S_MIN else 0.0


class ClockWatch:
    """Compares a wall clock (epoch seconds) with a monotonic one (seconds)."""

    def __init__(self, wall: float, mono: float) -> None:
        self._ahead_s = wall - mono

    def back_s(self, wall: float, mono: float) -> float:
        """Return how far the wall clock was set back without a note of it; 0.0 where it was not."""
        back_s = self._ahead_s - (wall - mono)
        if back_s < 0.0:
            self._ahead_s = wall - mono
        return back_s if back_s >= STEP_S_MIN else 0.0

    def note(self, back_s: float) -> None:
        """Take note: what was due has been moved."""
        self._ahead_s -= back_s
