"""Seconds in which a busy machine ran us: those in which it ran others say nothing of our code."""

from __future__ import annotations

import threading
import time
from types import TracebackType

EVERY_S = 0.005
# So much later any thread wakes up, on a machine at rest too.
LATE_S_MIN = 0.001


class OwnTime:
    """A stopwatch that runs from the start to the end of the block that it guards. A thread wakes up again
    and again meanwhile: how much later than it asked to is not counted, since whoever is measured was as
    late."""

    def __init__(self) -> None:
        self._late_s = 0.0
        self._over = threading.Event()
        self._began = self._ended = time.monotonic()
        self._thread = threading.Thread(target=self._look, name="own time", daemon=True)
        self._thread.start()

    def __enter__(self) -> OwnTime:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ended = time.monotonic()
        self._over.set()
        self._thread.join()

    def _look(self) -> None:
        asked = time.monotonic() + EVERY_S
        while not self._over.wait(EVERY_S):
            now = time.monotonic()
            late_s = now - asked
            if late_s > LATE_S_MIN:
                self._late_s += late_s
            asked = now + EVERY_S

    @property
    def seconds(self) -> float:
        """Return how long the block took, or has taken so far."""
        ended = self._ended if self._over.is_set() else time.monotonic()
        return max(0.0, ended - self._began - self._late_s)
