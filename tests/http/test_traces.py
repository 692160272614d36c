"""Requests have spans where a collector is configured, and say what they must not."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from helix_ray.config import Settings
from helix_ray.tracing import exporter
from tests.collector import Collector, attributes, collecting
from tests.http.api_server import TASK, Api, serving_api

TRACE, CALLER = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
GIVEN = f"00-{TRACE}-{CALLER}-01"


@pytest.fixture(scope="module")
def collector() -> Iterator[Collector]:
    with pytest.MonkeyPatch.context() as patch, collecting() as running:
        patch.setattr(exporter, "PAUSE_S", 0.01)
        yield running


@pytest.fixture(scope="module")
def api(collector: Collector) -> Iterator[Api]:
    with serving_api(Settings(otlp_endpoint=collector.url)) as running:
        yield running


def test_a_request_and_its_commit_are_in_the_trace_of_the_caller(api: Api, collector: Collector) -> None:
    """The task belongs to the span of its request; no span has what people wrote."""
    client = api.client()
    task = client.post("/tasks", json={**TASK, "title": "a secret"}, headers={"traceparent": GIVEN}).json()
    (span,) = collector.wait(1, "POST /api/v1/tasks")
    assert (span.trace_id.hex(), span.parent_span_id.hex()) == (TRACE, CALLER)
    assert attributes(span) == {
        "http.request.method": "POST",
        "http.route": "/api/v1/tasks",
        "http.response.status_code": 201,
    }
    commits = [each for each in collector.wait(1, "commit") if each.trace_id == span.trace_id]
    assert [attributes(each)["helix.order"] for each in commits] == ["SubmitTasks"]
    assert commits[0].parent_span_id == span.span_id
    assert span.start_time_unix_nano <= commits[0].start_time_unix_nano
    assert commits[0].end_time_unix_nano <= span.end_time_unix_nano
    stored = client.get(f"/tasks/{task['id']}").json()["traceparent"]
    assert stored == f"00-{TRACE}-{span.span_id.hex()}-01"
    (read,) = collector.wait(1, "GET /api/v1/tasks/{task_id}")
    # A request that names no trace begins one.
    assert read.trace_id.hex() != TRACE
    assert not read.parent_span_id
    assert "secret" not in str(collector.spans)


def test_who_does_not_record_a_trace_is_believed(api: Api, collector: Collector) -> None:
    """Its requests have no span, and its tasks keep what was given; probes begin no trace either."""
    client = api.client()
    given = GIVEN.removesuffix("1") + "0"
    task = client.post("/tasks", json=TASK, headers={"traceparent": given}).json()
    assert client.get(f"{api.url}/healthz").status_code == 200
    assert client.get(f"/tasks/{task['id']}").json()["traceparent"] == given
    client.get("/no/such/path")
    collector.wait(1, "GET other")
    names = {span.name for span in collector.spans}
    assert "GET /healthz" not in names
    assert len([span for span in collector.spans if span.name == "POST /api/v1/tasks"]) == 1
