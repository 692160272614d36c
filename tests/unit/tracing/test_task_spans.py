"""The spans of tasks, from the facts about them."""

from __future__ import annotations

import pytest

from helix_ray.core.events import (
    Event,
    Fact,
    TaskAssigned,
    TaskCancelled,
    TaskCompleted,
    TaskDeleted,
    TaskFailed,
    TaskReleased,
    TaskRequeued,
    TaskRestored,
    TaskSubmitted,
)
from helix_ray.core.specs import TaskSpec
from helix_ray.core.traceparent import attempt_span_id
from helix_ray.tracing import task_spans
from helix_ray.tracing.span import TraceSpan
from helix_ray.tracing.task_spans import TaskSpans

TRACE, REQUEST = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
SPEC: TaskSpec = {
    "title": "a secret title",
    "type": "building",
    "run": {"kind": "command", "argv": ["a secret argument"]},
    "traceparent": f"00-{TRACE}-{REQUEST}-01",
}


def facts(*events: Event) -> list[Fact]:
    """Return the events as facts, one a second from 10 on."""
    return [Fact(i, 9.0 + i, "user-secret", "req-1", event) for i, event in enumerate(events, 1)]


def spans_of(*events: Event) -> list[TraceSpan]:
    return TaskSpans().take(facts(*events))


def stages(spans: list[TraceSpan]) -> list[tuple[str, float, float, bool]]:
    return [(span.name, span.began_at, span.ended_at, span.failed) for span in spans]


def test_a_task_has_a_span_for_each_stage() -> None:
    """They are below its own, which is below that of the request; what people wrote is in none."""
    found = spans_of(
        TaskSubmitted("t", "user-secret", SPEC, ["other"]),
        TaskReleased("t"),
        TaskAssigned("t", 1, "node-a"),
        TaskRequeued("t", 1, "retry", not_before=20.0),
        TaskReleased("t"),
        TaskAssigned("t", 2, "node-b"),
        TaskCompleted("t", 2, "a secret result"),
    )
    assert stages(found) == [
        ("waiting", 10, 11, False),
        ("queue", 11, 12, False),
        ("attempt", 12, 13, True),
        ("backoff", 13, 14, False),
        ("queue", 14, 15, False),
        ("attempt", 15, 16, False),
        ("task", 10, 16, False),
    ]
    whole = found[-1]
    assert (whole.trace_id, whole.parent_id) == (TRACE, REQUEST)
    assert {span.parent_id for span in found[:-1]} == {whole.span_id}
    assert len({span.span_id for span in found}) == 7
    assert found[5].span_id == attempt_span_id("t", 2)
    assert found[5].attributes == {
        "helix.task.id": "t",
        "helix.task.kind": "command",
        "helix.attempt": 2,
        "helix.worker.id": "node-b",
        "helix.attempt.outcome": "completed",
    }
    assert "secret" not in str(found)


def test_facts_that_are_read_twice_make_the_same_spans() -> None:
    """So a follower may read them again."""
    events = (TaskSubmitted("t", "u", SPEC), TaskAssigned("t", 1, None), TaskFailed("t", 1, {}))
    assert spans_of(*events) == spans_of(*events)
    assert stages(spans_of(*events))[-1] == ("task", 10, 12, True)


def test_only_sampled_traces_have_spans() -> None:
    """Neither a task without a trace, nor one whose caller does not record it."""
    for spec in (TaskSpec(title="t", type="building"), {**SPEC, "traceparent": f"00-{TRACE}-{REQUEST}-00"}):
        assert not spans_of(TaskSubmitted("t", "u", spec), TaskAssigned("t", 1, "n"), TaskCompleted("t", 1))


def test_shards_are_below_their_parent() -> None:
    """As the work of one task."""
    shard: TaskSpec = {**SPEC, "shard": {"of": "t", "index": 0, "count": 1, "gang": False}}
    found = spans_of(
        TaskSubmitted("t", "u", SPEC), TaskSubmitted("t-0", "u", shard), TaskCancelled("t-0", 0, "c"),
        TaskCompleted("t", 0),
    )  # fmt: skip
    part, whole = (span for span in found if span.name == "task")
    assert part.parent_id == whole.span_id


def test_an_archived_task_that_is_retried_has_spans_again() -> None:
    """Those of its further attempts; a stage of no length is none."""
    restored = TaskRestored("t", "u", SPEC, "failed", 1, 1.0, 2, 2.0, 3)
    again = TaskRequeued("t", 3, "manual")
    both = [Fact(1, 10.0, "u", "r", restored), Fact(2, 10.0, "u", "r", again)]
    spans = TaskSpans()
    assert spans.take(both) == []
    assert stages(spans.take([Fact(3, 11.0, "u", "r", TaskAssigned("t", 4, "n"))])) == [
        ("queue", 10, 11, False)
    ]
    assert spans.take([Fact(4, 12.0, "u", "r", TaskDeleted("t"))]) == []
    assert spans.take([Fact(5, 13.0, "u", "r", TaskCompleted("t", 4))]) == []


def test_unfinished_tasks_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """The oldest are forgotten and counted."""
    monkeypatch.setattr(task_spans, "OPEN_MAX", 2)
    spans = TaskSpans()
    spans.take(facts(*(TaskSubmitted(f"t{i}", "u", SPEC) for i in range(3))))
    assert spans.forgotten == 1
    assert not spans.take(facts(TaskCompleted("t0", 1)))
    assert spans.take(facts(TaskCompleted("t2", 1)))
