"""The patience of a start: it waits as long as the missing parts give reasons, and
reports what it waits for."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping

from actors.life import NO_ANSWER
from helix_ray.ports import STARTING

SILENT_S_MAX = 60.0
# The reason of a part that gives none.
SILENCE = frozenset((STARTING, NO_ANSWER))
# A part that takes longer is reported again, each time after twice the interval.
SAY_S_MIN = 5.0
SAY_S_MAX = 300.0
# How often a fold says how far it is: several times in SILENT_S_MAX, on a busy machine too.
FACTS_PER_WORD = 500_000


def words_of_folding(facts: int) -> str | None:
    """Say how many facts a master has folded: without a snapshot that its release can read, a long journal
    takes minutes. None before there is a word to say."""
    said = facts // FACTS_PER_WORD * FACTS_PER_WORD
    return f"it has folded {said:,} facts" if said else None


class Waiting:
    """The waits of a start, one after the other. A cause such as a full disk may pass, so a start with a
    reason does not give up."""

    def __init__(self, say: Callable[[str], None], monotonic: Callable[[], float] = time.monotonic) -> None:
        """`say` is called with a sentence for each reason, and at intervals with
        one for all missing parts."""
        self._say = say
        self._monotonic = monotonic
        self._said: dict[str, str] = {}
        self.begin()

    def begin(self) -> None:
        """Begin a wait with new patience; reasons that were reported before are not repeated."""
        self._reason_at = self._monotonic()
        self._pause_s = SAY_S_MIN
        self._say_at = self._reason_at + SAY_S_MIN

    def hear(self, missing: Mapping[str, str]) -> None:
        """Take the missing parts with their reasons; empty where nothing is known.

        Raises TimeoutError with the missing parts when none has given a reason for SILENT_S_MAX.
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
