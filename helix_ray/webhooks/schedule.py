"""When a webhook request is tried again, and when a webhook is switched off.

A try follows 0 s, 5 s, 5 min, 30 min, 2 h, 5 h, 10 h, 14 h, 20 h and 24 h after the one before, with jitter.
A receiver may ask for more time (Retry-After), or for no more requests (410). A webhook that has had nothing
but failures for five days is switched off at that instant.
"""

from __future__ import annotations

from typing import Final, Literal, NamedTuple

PAUSES_S: Final = (0.0, 5.0, 300.0, 1800.0, 7200.0, 18_000.0, 36_000.0, 50_400.0, 72_000.0, 86_400.0)
TRIES_MAX: Final = len(PAUSES_S)
# A pause is between this much shorter and this much longer.
JITTER: Final = 0.2
OFF_AFTER_S: Final = 5 * 86_400.0
RETRY_AFTER_S_MAX: Final = 86_400.0
GONE: Final = 410
# What a receiver answers that wants all requests to wait, and not just this one.
BUSY: Final = (429, 502, 503, 504)


class AfterTry(NamedTuple):
    """What follows a try.

    `again_at` is when the next one is due; `quiet_until` is until when the receiver wants no request at all.
    """

    state: Literal["delivered", "waiting", "failed"]
    again_at: float | None = None
    quiet_until: float | None = None
    gone: bool = False


DELIVERED: Final = AfterTry("delivered")


def verdict(
    status: int | None, tries: int, now: float, chance: float, retry_after_s: float | None = None
) -> AfterTry:
    """Return what follows the try number `tries` (from 1) that was answered with a status, or with none.

    `chance` is a number from 0 to 1.
    """
    if status is not None and 200 <= status < 300:
        return DELIVERED
    if status == GONE:
        return AfterTry("failed", gone=True)
    asked_s = min(retry_after_s or 0.0, RETRY_AFTER_S_MAX)
    quiet_until = now + asked_s if asked_s > 0 and status in BUSY else None
    if tries >= TRIES_MAX:
        return AfterTry("failed", quiet_until=quiet_until)
    pause_s = PAUSES_S[tries] * (1 - JITTER + 2 * JITTER * chance)
    return AfterTry("waiting", now + max(pause_s, asked_s), quiet_until)


def off_at(failing_since: float | None) -> float | None:
    """Return when a webhook is switched off unless a request succeeds; None while the last one did."""
    return None if failing_since is None else failing_since + OFF_AFTER_S
