"""The system clock."""

from __future__ import annotations

import time


class SystemClock:
    """This host's clocks."""

    def wall(self) -> float:
        """Return epoch seconds."""
        return time.time()

    def monotonic(self) -> float:
        """Return seconds that never go back."""
        return time.monotonic()
