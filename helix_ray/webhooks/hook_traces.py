"""Traces of requests to receivers: each try is a span in the trace of its task, whose span is the parent. The
receiver gets the try's span in the header `traceparent` (W3C Trace Context).

Without a collector there are no spans, and receivers get the `traceparent` of the task.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from helix_ray.core.notices import Notice
from helix_ray.core.traceparent import TraceParent, parse, span_id_of, task_span_id
from helix_ray.tracing.span import TraceSpan
from helix_ray.webhooks.messages import HookMessage, Try

HEADER = "traceparent"


class HookTraces:
    """The trace headers of requests, and the spans of tries that have ended."""

    def __init__(self, note: Callable[[TraceSpan], None] | None = None) -> None:
        """`note` takes each span; None without a collector."""
        self._note = note

    def headers(
        self, message: HookMessage, notice: Notice, own: Mapping[str, str], at: float
    ) -> Mapping[str, str]:
        """Return what a try that begins at a time adds to the headers: nothing if the fact belongs to no
        trace, or the owner's headers (`own`) name one."""
        if notice.about.traceparent is None or any(name.lower() == HEADER for name in own):
            return {}
        parent = parse(notice.about.traceparent)
        if parent is None:
            return {}
        if self._note is None or not parent.is_sampled:
            return {HEADER: parent.text}
        return {HEADER: parent.below(_span_id(message, at)).text}

    def ended(self, message: HookMessage, notice: Notice, made: Try) -> None:
        """Note the span of a try, if its task is of a sampled trace."""
        if self._note is None or notice.about.traceparent is None:
            return
        parent = parse(notice.about.traceparent)
        if parent is not None and parent.is_sampled:
            self._note(_span(parent, message, notice, made))


def _span_id(message: HookMessage, at: float) -> str:
    # A message that is sent once more counts its tries from one again.
    return span_id_of("webhook", message.hook, message.seq, at)


def _span(parent: TraceParent, message: HookMessage, notice: Notice, made: Try) -> TraceSpan:
    attributes: dict[str, str | int] = {
        "helix.webhook.id": message.hook,
        "helix.webhook.event": message.event,
        "helix.webhook.try": made.number,
        "helix.task.id": notice.subject,
        "http.request.method": "POST",
    }
    if made.status is not None:
        attributes["http.response.status_code"] = made.status
    if made.failure is not None:
        attributes["error.type"] = made.failure
    return TraceSpan(
        parent.trace_id, _span_id(message, made.at), task_span_id(notice.subject), "webhook",
        made.at, made.at + made.seconds, "client", made.failure is not None, attributes,
    )  # fmt: skip
