"""What counters gained in the last window: each has one owner, so that nobody shortens another's window."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

WINDOW_S_MIN = 0.9
"""A window is never shorter, in seconds: over shorter ones the kernel's ticks are too coarse."""


@dataclass(frozen=True, slots=True)
class Window:
    """What counters gained in `seconds`; a counter that went back or was reset is left out."""

    seconds: float
    gained: Mapping[str, float]


class Rates:
    """The counters of one source. `clock` is monotonic, in seconds."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._at: float | None = None
        self._counts: Mapping[str, float] = {}
        self._window: Window | None = None

    def measure(self, counts: Mapping[str, float]) -> Window | None:
        """Return the window that ends with these counts, or the last one where this would be too short.

        None before there are two samples.
        """
        now = self._clock()
        if self._at is not None and now - self._at < WINDOW_S_MIN:
            return self._window
        if self._at is not None:
            gained = {
                name: count - self._counts[name]
                for name, count in counts.items()
                if count >= self._counts.get(name, count + 1)
            }
            self._window = Window(now - self._at, gained)
        self._at, self._counts = now, counts
        return self._window
