"""The clock by which messages are due: it goes on where the wall clock is set back, also between two runs.

It is ahead of the wall clock by as much as that was set back in all. The outbox has both, as of a moment ago:
a wall clock that is before that at a start was set back while nobody looked. Times of further tries, until
when receivers asked for time, and since when a webhook has failed are this clock's. What is shown to people,
and signed, are times of the wall clock.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from helix_ray.core.clock_watch import STEP_S_MIN, ClockWatch, step_back_s

NOTED_EVERY_S = 30.0


class ClockPlace(NamedTuple):
    """How far ahead of the wall clock messages are due, and what their clock showed last."""

    ahead_s: float = 0.0
    seen_at: float = 0.0

    def differs(self, noted: ClockPlace) -> bool:
        """Say whether it is to be noted once more: after a while, or where the clock was set back."""
        is_old = abs(self.seen_at - noted.seen_at) >= NOTED_EVERY_S
        return is_old or abs(self.ahead_s - noted.ahead_s) >= STEP_S_MIN


class DueClock:
    """Goes on from where it was; for one process."""

    def __init__(self, now: Callable[[], float], mono: Callable[[], float], place: ClockPlace) -> None:
        self._now, self._mono = now, mono
        wall = now()
        self._ahead_s = place.ahead_s + step_back_s(place.seen_at, wall + place.ahead_s)
        self._watch = ClockWatch(wall, mono())

    def look(self) -> None:
        """Note that the wall clock was set back: when it goes ahead from there, so does this one."""
        back_s = self._watch.back_s(self._now(), self._mono())
        self._ahead_s += back_s
        self._watch.note(back_s)

    @property
    def ahead_s(self) -> float:
        """How far it is ahead of the wall clock."""
        return self._ahead_s + self._watch.back_s(self._now(), self._mono())

    def now(self) -> float:
        """Return its time."""
        wall = self._now()
        return wall + self._ahead_s + self._watch.back_s(wall, self._mono())

    @property
    def place(self) -> ClockPlace:
        """What the next run goes on from."""
        return ClockPlace(self.ahead_s, self.now())
