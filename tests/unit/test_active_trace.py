"""The trace that a program hands on."""

from __future__ import annotations

from opentelemetry import trace

from helix_ray.active_trace import active_traceparent

GIVEN = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"


def test_it_is_that_of_the_environment() -> None:
    """One that is not valid is none."""
    assert active_traceparent({}) is None
    assert active_traceparent({"TRACEPARENT": "here"}) is None
    assert active_traceparent({"TRACEPARENT": GIVEN}) == GIVEN


def test_the_current_span_comes_first() -> None:
    """Of a program that uses OpenTelemetry."""
    context = trace.SpanContext(0xA, 0xB, False, trace.TraceFlags(0))
    with trace.use_span(trace.NonRecordingSpan(context)):
        assert active_traceparent({"TRACEPARENT": GIVEN}) == f"00-{'0' * 31}a-{'0' * 15}b-00"
    assert active_traceparent({"TRACEPARENT": GIVEN}) == GIVEN
