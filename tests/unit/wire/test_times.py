"""Times out and in: UTC, milliseconds, and back to the same moment."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from helix_ray.wire.times import EPOCH_MAX, epoch_of, iso, iso_or_none


def test_the_form_of_the_api_reference() -> None:
    assert iso(1762509600.0) == "2025-11-07T10:00:00.000Z"
    assert iso(1762509600.1239) == "2025-11-07T10:00:00.123Z"
    assert iso_or_none(None) is None
    assert iso_or_none(0.0) == "1970-01-01T00:00:00.000Z"


@given(st.floats(min_value=0, max_value=EPOCH_MAX))
def test_a_time_comes_back_to_the_millisecond_and_never_later(epoch: float) -> None:
    back = epoch_of(iso(epoch))
    assert back <= epoch + 1e-4
    assert epoch - back < 0.0011


@pytest.mark.parametrize(
    ("text", "epoch"),
    [
        ("2025-11-07T10:00:00Z", 1762509600.0),
        ("2025-11-07T10:00:00", 1762509600.0),
        ("2025-11-07T11:00:00+01:00", 1762509600.0),
        ("2025-11-07", 1762473600.0),
        ("20251107T100000Z", 1762509600.0),
    ],
)
def test_what_is_read(text: str, epoch: float) -> None:
    """A time without a zone is UTC, wherever the server stands."""
    assert epoch_of(text) == epoch


@pytest.mark.parametrize(
    "text",
    [
        "",
        "now",
        "1762509600",
        "2025-13-01",
        "0001-01-01T00:00:00",
        "1969-12-31",
        "x" * 100,
        "9999-12-31T23:59:59-23:00",
    ],
)
def test_what_is_not(text: str) -> None:
    with pytest.raises(ValueError, match=r"ISO 8601|1970 and 9999"):
        epoch_of(text)
