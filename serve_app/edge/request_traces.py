"""Spans of requests, where a collector is configured: to which trace a request belongs, and how it went."""

from __future__ import annotations

import os
import random
import time
from collections.abc import Callable, Mapping
from contextvars import ContextVar
from typing import Final

from starlette.types import Scope

from helix_ray.core.traceparent import SAMPLED, TraceParent, parse
from helix_ray.tracing.span import TraceSpan
from serve_app.edge import headers, rate_limit
from serve_app.edge.request_times import METHODS, OTHER, TEMPLATE

# The span of the request that is answered, for the spans below it.
CURRENT: ContextVar[TraceParent | None] = ContextVar("request_span", default=None)
SERVER_FAULT: Final = 500


def given_trace(seen: Mapping[bytes, bytes]) -> TraceParent | None:
    """Return the trace of a request's header; None where that is missing or not valid (W3C Trace Context)."""
    text = seen.get(headers.TRACEPARENT)
    return None if text is None else parse(text.decode("latin-1"))


class RequestTraces:
    """Makes a span of every request of a sampled trace; of those without a trace, `share` begin one."""

    def __init__(self, note: Callable[[TraceSpan], None], share: float) -> None:
        self._note = note
        self._share = share

    def begin(self, given: TraceParent | None, path: str) -> TraceParent | None:
        """Return the span of a request, or the trace that it hands on without one; None for no trace."""
        if given is None and (path in rate_limit.EXEMPT_PATHS or random.random() >= self._share):
            return None
        if given is not None and not given.is_sampled:
            return given
        span_id = os.urandom(8).hex()
        own = TraceParent(os.urandom(16).hex(), span_id, SAMPLED) if given is None else given.below(span_id)
        CURRENT.set(own)
        return own

    def end(
        self, given: TraceParent | None, own: TraceParent | None, scope: Scope, began: float, status: int
    ) -> None:
        """Note the span of a request that is over; `began` is monotonic, as in request_times.py."""
        if own is None or not own.is_sampled:
            return
        CURRENT.set(None)
        now = time.time()
        method = scope.get("method", "GET")
        method = method if method in METHODS else OTHER
        route = scope.get(TEMPLATE, OTHER)
        self._note(
            TraceSpan(
                own.trace_id, own.span_id, "" if given is None else given.span_id, f"{method} {route}",
                now - (time.monotonic() - began), now, "server", status >= SERVER_FAULT or not status,
                {"http.request.method": method, "http.route": route, "http.response.status_code": status},
            )
        )  # fmt: skip
