"""Times in JSON: ISO 8601 in requests, ISO 8601 in UTC with milliseconds in responses;
epoch seconds elsewhere."""

from __future__ import annotations

from datetime import UTC, datetime
from functools import lru_cache

SECONDS_CACHED_MAX = 4_096
TEXT_CHARS_MAX = 40
# 1970 to the end of 9999: the range of every language's date type.
EPOCH_MAX = 253_402_300_799.0


def iso(epoch: float) -> str:
    """Return `2025-11-07T10:00:00.123Z`; truncated to milliseconds, so it is never
    later than the given time."""
    seconds = int(epoch)
    return f"{_to_second(seconds)}.{int((epoch - seconds) * 1000):03d}Z"


def iso_or_none(epoch: float | None) -> str | None:
    """Return a time in ISO form, or None."""
    return None if epoch is None else iso(epoch)


def epoch_of(text: str) -> float:
    """Return the epoch seconds of an ISO 8601 time; one without a zone is UTC.
    Raises ValueError with a sentence."""
    if len(text) > TEXT_CHARS_MAX:
        raise ValueError("not a valid ISO 8601 time")
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise ValueError("not a valid ISO 8601 time such as 2025-11-07T10:00:00Z") from None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    try:
        epoch = moment.timestamp()
    except OverflowError:
        raise ValueError("must be between the years 1970 and 9999") from None
    if not 0 <= epoch <= EPOCH_MAX:
        raise ValueError("must be between the years 1970 and 9999")
    return epoch


@lru_cache(maxsize=SECONDS_CACHED_MAX)
def _to_second(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S")
