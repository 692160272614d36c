"""`traceparent`: what W3C Trace Context counts as valid."""

from __future__ import annotations

import pytest

from helix_ray.core.spec_shape import malformed
from helix_ray.core.traceparent import attempt_span_id, parse

TRACE, SPAN = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
GIVEN = f"00-{TRACE}-{SPAN}-01"


@pytest.mark.parametrize(
    ("text", "read"),
    [
        (GIVEN, GIVEN),
        (f" {GIVEN}\t", GIVEN),
        (f"00-{TRACE}-{SPAN}-00", f"00-{TRACE}-{SPAN}-00"),
        # Of a later version what is known is used, and no flag beside that of sampling.
        (f"01-{TRACE}-{SPAN}-03", GIVEN),
        (f"cc-{TRACE}-{SPAN}-01-what-the-future-will-be-like", GIVEN),
    ],
)
def test_valid_values(text: str, read: str) -> None:
    """They are handed on in the version that is known."""
    parent = parse(text)
    assert parent is not None
    assert (parent.text, parent.is_sampled) == (read, read.endswith("1"))


@pytest.mark.parametrize(
    "text",
    [
        "",
        "00",
        GIVEN.upper(),
        f"{GIVEN},{GIVEN}",
        f"ff-{TRACE}-{SPAN}-01",
        f"00-{'0' * 32}-{SPAN}-01",
        f"00-{TRACE}-{'0' * 16}-01",
        f"00-{TRACE[:-1]}-{SPAN}-01",
        f"00-{TRACE}-{SPAN}-1",
        f"00-{TRACE}-{SPAN}-0g",
        f"{GIVEN}-",
        f"{GIVEN}-more",
        f"cc-{TRACE}-{SPAN}-01.more",
        f"cc-{TRACE}-{SPAN}-01-{'x' * 600}",
        f"{GIVEN}\n",
        f"00-{TRACE.replace('4', '٤')}-{SPAN}-01",
    ],
)
def test_values_that_are_ignored(text: str) -> None:
    """Anything else is as if it had not been sent; a spec that has it is refused."""
    assert parse(text) is None
    refusal = malformed({"title": "t", "type": "building", "traceparent": text})
    assert refusal is not None
    assert refusal.details == {"field": "traceparent"}


def test_spans_have_the_same_id_each_time() -> None:
    """So one that is sent twice is one span, and a node knows an attempt's without asking."""
    parent = parse(GIVEN)
    assert parent is not None
    span = attempt_span_id("task-1", 2)
    assert span == attempt_span_id("task-1", 2) != attempt_span_id("task-1", 3)
    assert parse(parent.below(span).text) == (TRACE, span, 1)
