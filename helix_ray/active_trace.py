"""The trace within which this program runs, which it hands on with what it asks for."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from helix_ray.core.traceparent import VARIABLE, TraceParent, parse

if TYPE_CHECKING:
    from helix_ray.core.specs import TaskSpec


def active_traceparent(environment: Mapping[str, str] = os.environ) -> str | None:
    """Return the current span of OpenTelemetry, where the program uses it, else what TRACEPARENT says; None
    where there is neither."""
    span = _current_span()
    if span is not None:
        return span.text
    given = parse(environment.get(VARIABLE, ""))
    return None if given is None else given.text


def in_active_trace(specs: Sequence[TaskSpec]) -> tuple[TaskSpec, ...]:
    """Return tasks that belong to the trace of this program, where it has one."""
    traceparent = active_traceparent()
    if traceparent is None:
        return tuple(specs)
    return tuple({**spec, "traceparent": traceparent} for spec in specs)


def _current_span() -> TraceParent | None:
    # A program that has a span has imported this.
    trace = sys.modules.get("opentelemetry.trace")
    if trace is None:
        return None
    found = trace.get_current_span().get_span_context()
    if not found.is_valid:
        return None
    return TraceParent(f"{found.trace_id:032x}", f"{found.span_id:016x}", int(found.trace_flags))
