"""The patience of a start: it waits for as long as somebody says why, and tells what it waits for."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping

from actors.life import NO_ANSWER
from helix_ray.ports import STARTING

SILENT_S_MAX = 60.0
# What is said of one who says nothing.
SILENCE = frozenset((STARTING, NO_ANSWER))
# What takes longer is named again, each time after twice as long.
SAY_S_MIN = 5.0
SAY_S_MAX = 300.0


class Waiting:
    """What a start waits for, in one wait after the other. A cause may pass, like a full disk: to end would
    leave that to others."""

    def __init__(self, say: Callable[[str], None], monotonic: Callable[[], float] = time.monotonic) -> None:
        """`say` gets a sentence for each reason, and now and then one for all that is still missing."""
        self._say = say
        self._monotonic = monotonic
        self._said: dict[str, str] = {}
        self.begin()

    def begin(self) -> None:
        """Begin a wait, with patience of its own; what an earlier one has said is not said again."""
        self._reason_at = self._monotonic()
        self._pause_s = SAY_S_MIN
        self._say_at = self._reason_at + SAY_S_MIN

    def hear(self, missing: Mapping[str, str]) -> None:
        """Take what is missing, with its reasons; nothing at all is known where it is empty.

        Raises TimeoutError with what is missing when nobody has given a reason for SILENT_S_MAX.
        """
        now = self._monotonic()
        for name, reason in missing.items():
            if reason in SILENCE:
                continue
            self._reason_at = now
            if reason != self._said.get(name):
                self._say(f"waiting for {name}: {reason}")
                self._said[name] = reason
        said = "; ".join(f"{name}: {reason}" for name, reason in missing.items()) or "nothing answers"
        if now - self._reason_at > SILENT_S_MAX:
            raise TimeoutError(said)
        if now >= self._say_at:
            self._say(f"still waiting: {said}")
            self._pause_s = min(2 * self._pause_s, SAY_S_MAX)
            self._say_at = now + self._pause_s
