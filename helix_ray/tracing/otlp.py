"""Spans as a request of the OpenTelemetry protocol (OTLP 1, HTTP with protobuf)."""

from __future__ import annotations

import socket
from collections.abc import Iterable

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, InstrumentationScope, KeyValue
from opentelemetry.proto.resource.v1.resource_pb2 import Resource
from opentelemetry.proto.trace.v1 import trace_pb2

from helix_ray import __version__
from helix_ray.tracing.span import Attributes, TraceSpan

CONTENT_TYPE = "application/x-protobuf"
NANOSECONDS = 1e9
_KINDS = {
    "server": trace_pb2.Span.SpanKind.SPAN_KIND_SERVER,
    "client": trace_pb2.Span.SpanKind.SPAN_KIND_CLIENT,
    "internal": trace_pb2.Span.SpanKind.SPAN_KIND_INTERNAL,
}
_FAILED = trace_pb2.Status(code=trace_pb2.Status.StatusCode.STATUS_CODE_ERROR)


def encoded(spans: Iterable[TraceSpan], process: str) -> bytes:
    """Return the request that exports these spans of a process, which is `api`, `historian` or `notifier`."""
    about: Attributes = {
        "service.name": "helix-ray",
        "service.version": __version__,
        "service.instance.id": f"{process}@{socket.gethostname()}",
    }
    scope = trace_pb2.ScopeSpans(
        scope=InstrumentationScope(name="helix_ray.tracing", version=__version__), spans=map(_span, spans)
    )
    resource = trace_pb2.ResourceSpans(resource=Resource(attributes=_pairs(about)), scope_spans=[scope])
    body: bytes = ExportTraceServiceRequest(resource_spans=[resource]).SerializeToString()
    return body


def _span(span: TraceSpan) -> trace_pb2.Span:
    return trace_pb2.Span(
        trace_id=bytes.fromhex(span.trace_id),
        span_id=bytes.fromhex(span.span_id),
        parent_span_id=bytes.fromhex(span.parent_id),
        name=span.name,
        kind=_KINDS[span.kind],
        start_time_unix_nano=int(span.began_at * NANOSECONDS),
        # Clocks of two hosts may disagree.
        end_time_unix_nano=int(max(span.began_at, span.ended_at) * NANOSECONDS),
        attributes=_pairs(span.attributes),
        status=_FAILED if span.failed else None,
    )


def _pairs(attributes: Attributes) -> list[KeyValue]:
    return [KeyValue(key=name, value=_value(value)) for name, value in attributes.items()]


def _value(value: str | float) -> AnyValue:
    if isinstance(value, str):
        return AnyValue(string_value=value)
    return AnyValue(int_value=value) if isinstance(value, int) else AnyValue(double_value=value)
