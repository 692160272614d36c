"""Times as ISO 8601 in UTC with milliseconds, as the API writes them."""

from __future__ import annotations

from datetime import UTC, datetime
from functools import lru_cache
from typing import Final

SECONDS_CACHED_MAX: Final = 4_096
# 1970 to the end of 9999: the range of every language's date type.
EPOCH_MAX: Final = 253_402_300_799.0


def iso(epoch: float) -> str:
    """Return `2025-11-07T10:00:00.123Z`; truncated to milliseconds, so it is never
    later than the given time."""
    seconds = int(epoch)
    return f"{_to_second(seconds)}.{int((epoch - seconds) * 1000):03d}Z"


def iso_or_none(epoch: float | None) -> str | None:
    """Return a time in ISO form, or None."""
    return None if epoch is None else iso(epoch)


def stored_iso(value: object) -> str | None:
    """Return a stored time in ISO form; None if the value is not a time, as in some old journals."""
    return iso(value) if isinstance(value, (int, float)) and 0 <= value <= EPOCH_MAX else None


@lru_cache(maxsize=SECONDS_CACHED_MAX)
def _to_second(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S")
