"""Times in JSON: ISO 8601 in requests, ISO 8601 in UTC with milliseconds in responses;
epoch seconds elsewhere."""

from __future__ import annotations

from datetime import UTC, datetime

from helix_ray.core.iso_times import EPOCH_MAX, iso, iso_or_none

__all__ = ["EPOCH_MAX", "TEXT_CHARS_MAX", "epoch_of", "iso", "iso_or_none"]

TEXT_CHARS_MAX = 40


def epoch_of(text: str) -> float:
    """Return the epoch seconds of an ISO 8601 time; one without a zone is UTC.
    Raises ValueError with a sentence."""
    if len(text) > TEXT_CHARS_MAX:
        raise ValueError(f"not a valid ISO 8601 time: it has more than {TEXT_CHARS_MAX} characters")
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
