"""Spans reach a collector as it expects them, and nobody waits for one that does not take them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from functools import wraps
from pathlib import Path
from typing import Any

import pytest

from helix_ray.core.events import Fact, TaskCompleted, TaskSubmitted
from helix_ray.core.specs import TaskSpec
from helix_ray.tracing import exporter
from helix_ray.tracing.exporter import Collector, Exporter
from helix_ray.tracing.following import TaskTraces
from helix_ray.tracing.span import TraceSpan
from tests.collector import attributes, collecting
from tests.ray import signals

SPAN = TraceSpan(
    "ab" * 16, "cd" * 8, "ef" * 8, "task", 1.5, 2.25, "server", True, {"a": "b", "n": 3, "x": 0.5}
)


@pytest.fixture(autouse=True)
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exporter, "PAUSE_S", 0.01)
    monkeypatch.setattr(exporter, "AGAIN_S", 0.01)


def on_a_loop(test: Callable[..., Coroutine[Any, Any, None]]) -> Callable[..., None]:
    @wraps(test)
    def run(**fixtures: Any) -> None:
        asyncio.run(test(**fixtures))

    return run


async def until(exports: Exporter, **figures: int) -> None:
    wanted = {"sent": 0, "dropped": 0, "failed": 0, **figures}
    await asyncio.to_thread(signals.until, lambda: exports.figures == wanted)


@on_a_loop
async def test_a_span_arrives_whole(tmp_path: Path) -> None:
    """With its ids, times in nanoseconds, status and attributes, and the headers of the file."""
    headers = tmp_path / "headers"
    headers.write_text("Authorization: Bearer x:y\n\n")
    with collecting() as collector:
        exports = Exporter(Collector(collector.url + "/", headers), "api")
        exports.note(SPAN)
        await until(exports, sent=1)
        await exports.close()
    (span,) = collector.spans
    assert (span.trace_id.hex(), span.span_id.hex(), span.parent_span_id.hex()) == SPAN[:3]
    assert (span.name, span.start_time_unix_nano, span.end_time_unix_nano) == ("task", 1.5e9, 2.25e9)
    assert (span.kind, span.status.code) == (2, 2)
    assert attributes(span) == SPAN.attributes
    assert collector.resources[0]["service.name"] == "helix-ray"
    assert collector.headers[0]["authorization"] == "Bearer x:y"
    assert collector.headers[0]["content-type"] == "application/x-protobuf"


@on_a_loop
async def test_a_collector_that_is_busy_is_tried_again() -> None:
    """One that refuses is not: what it did not take is counted."""
    with collecting(503, 429, 200, 400) as collector:
        exports = Exporter(Collector(collector.url), "api")
        exports.note(SPAN)
        await until(exports, sent=1)
        exports.note(SPAN, SPAN)
        await until(exports, sent=1, failed=2)
        await exports.close()
    assert len(collector.headers) == 4


@on_a_loop
async def test_a_collector_that_is_away_costs_spans_and_no_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of too many that wait the oldest are dropped and counted; `close` does not wait for it."""
    monkeypatch.setattr(exporter, "WAITING_MAX", 3)
    exports = Exporter(Collector("http://127.0.0.1:1"), "api")
    exports.note(*[SPAN] * 5)
    assert exports.figures["dropped"] == 2
    await until(exports, dropped=2, failed=3)
    exports.note(SPAN)
    await exports.close()
    await exports.close()


@on_a_loop
async def test_what_waits_is_sent_at_the_end() -> None:
    """A process that is stopped in order loses no span."""
    with collecting() as collector:
        exports = Exporter(Collector(collector.url), "historian")
        exports.note(SPAN)
        await exports.close()
    assert len(collector.spans) == 1


@on_a_loop
async def test_what_ended_before_the_process_began_is_not_sent() -> None:
    """A history that is built again reads every fact, and the spans of last year were sent last year."""
    spec: TaskSpec = {
        "title": "t", "type": "building", "traceparent": f"00-{SPAN.trace_id}-{SPAN.span_id}-01",
    }  # fmt: skip
    with collecting() as collector:
        traces = TaskTraces(Exporter(Collector(collector.url), "historian"), clock=lambda: 1000.0)
        traces.take(
            tuple(
                Fact(seq, at, "u", "r", event)
                for seq, (at, event) in enumerate([
                    (10.0, TaskSubmitted("old", "u", spec)), (11.0, TaskCompleted("old", 1)),
                    (12.0, TaskSubmitted("running", "u", spec)), (999.0, TaskCompleted("running", 1)),
                ], 1)
            )
        )  # fmt: skip
        await traces.close()
    assert {attributes(span)["helix.task.id"] for span in collector.spans} == {"running"}
