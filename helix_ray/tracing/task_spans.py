"""Spans of tasks, folded from the facts about them.

    task          from the submit to the end; below the span of the request
      waiting     while other tasks are unfinished on which it depends
      queue       while it is pending
      backoff     between a failed attempt and the queue
      attempt     from its assignment to its outcome; TRACEPARENT names this one

Only tasks of sampled traces have any. Ids follow from the task's, so facts that are read twice make the same.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, TypeAlias

from helix_ray.core.events import (
    Fact,
    TaskAssigned,
    TaskCancelled,
    TaskCompleted,
    TaskDeferred,
    TaskDeleted,
    TaskFailed,
    TaskReleased,
    TaskRequeued,
    TaskRestored,
    TaskSubmitted,
)
from helix_ray.core.specs import TaskSpec
from helix_ray.core.traceparent import TraceParent, attempt_span_id, parse, span_id_of, task_span_id
from helix_ray.tracing.span import TraceSpan

# Unfinished tasks of sampled traces; those that are open for longest are forgotten.
OPEN_MAX = 100_000
_ENDS = {TaskCompleted: "completed", TaskFailed: "failed", TaskCancelled: "cancelled"}
_Found: TypeAlias = list[TraceSpan]


@dataclass(slots=True)
class _Open:
    """A task that has not ended: what it does now, since when."""

    parent: TraceParent
    own_id: str
    kind: str
    submitted_at: float
    since: float
    stage: str
    attempt: int = 0
    worker: str = ""


class TaskSpans:
    """The tasks that have not ended, and the spans that end with each fact."""

    def __init__(self) -> None:
        self._open: OrderedDict[str, _Open] = OrderedDict()
        # How many tasks were forgotten.
        self.forgotten = 0

    def take(self, facts: Iterable[Fact]) -> list[TraceSpan]:
        """Return the spans that end with these facts."""
        found: _Found = []
        for fact in facts:
            take = _TAKES.get(type(fact.event))
            if take is not None:
                take(self, fact.event, fact.at, found)
        return found

    def _submitted(self, event: TaskSubmitted, at: float, found: _Found) -> None:
        self._begin(event.id, event.spec, at, "waiting" if event.waits_for else "queue")

    def _restored(self, event: TaskRestored, at: float, found: _Found) -> None:
        self._begin(event.id, event.spec, at, "queue")

    def _begin(self, task_id: str, spec: TaskSpec, at: float, stage: str) -> None:
        text = spec.get("traceparent")
        parent = parse(text) if text is not None else None
        if parent is None or not parent.is_sampled:
            return
        shard = spec.get("shard")
        above = parent if shard is None else parent.below(task_span_id(shard["of"]))
        run = spec.get("run")
        kind = run["kind"] if run else "external"
        self._open[task_id] = _Open(above, task_span_id(task_id), kind, at, at, stage)
        if len(self._open) > OPEN_MAX:
            self._open.popitem(last=False)
            self.forgotten += 1

    def _moved(self, event: TaskReleased | TaskDeferred, at: float, found: _Found) -> None:
        task = self._open.get(event.id)
        if task is not None:
            self._end_stage(event.id, task, at, found)
            task.stage, task.since = "queue" if isinstance(event, TaskReleased) else "waiting", at

    def _assigned(self, event: TaskAssigned, at: float, found: _Found) -> None:
        task = self._open.get(event.id)
        if task is not None:
            self._end_stage(event.id, task, at, found)
            task.stage, task.since = "attempt", at
            task.attempt, task.worker = event.attempt, event.worker or ""

    def _requeued(self, event: TaskRequeued, at: float, found: _Found) -> None:
        task = self._open.get(event.id)
        if task is not None:
            self._end_stage(event.id, task, at, found, event.cause)
            task.stage, task.since = "backoff" if event.not_before > at else "queue", at

    def _ended(self, event: TaskCompleted | TaskFailed | TaskCancelled, at: float, found: _Found) -> None:
        task = self._open.pop(event.id, None)
        if task is None:
            return
        outcome = _ENDS[type(event)]
        self._end_stage(event.id, task, at, found, outcome)
        attributes = {"helix.task.id": event.id, "helix.task.kind": task.kind, "helix.task.status": outcome}
        found.append(
            TraceSpan(
                task.parent.trace_id, task.own_id, task.parent.span_id, "task", task.submitted_at, at,
                failed=outcome == "failed", attributes=attributes,
            )
        )  # fmt: skip

    def _deleted(self, event: TaskDeleted, at: float, found: _Found) -> None:
        self._open.pop(event.id, None)

    @staticmethod
    def _end_stage(task_id: str, task: _Open, at: float, found: _Found, outcome: str = "") -> None:
        attributes: dict[str, str | int] = {"helix.task.id": task_id}
        if task.stage == "attempt":
            span_id = attempt_span_id(task_id, task.attempt)
            attributes |= {
                "helix.task.kind": task.kind,
                "helix.attempt": task.attempt,
                "helix.worker.id": task.worker,
                "helix.attempt.outcome": outcome,
            }
        elif at <= task.since:
            # The fact before it was of the same order.
            return
        else:
            span_id = span_id_of(task.stage, task_id, task.since)
        failed = task.stage == "attempt" and outcome in ("failed", "retry", "lost")
        trace_id = task.parent.trace_id
        found.append(
            TraceSpan(
                trace_id, span_id, task.own_id, task.stage, task.since, at,
                failed=failed, attributes=attributes,
            )
        )  # fmt: skip


_TAKES: dict[type[Any], Callable[[TaskSpans, Any, float, _Found], None]] = {
    TaskSubmitted: TaskSpans._submitted,
    TaskRestored: TaskSpans._restored,
    TaskReleased: TaskSpans._moved,
    TaskDeferred: TaskSpans._moved,
    TaskAssigned: TaskSpans._assigned,
    TaskRequeued: TaskSpans._requeued,
    TaskCompleted: TaskSpans._ended,
    TaskFailed: TaskSpans._ended,
    TaskCancelled: TaskSpans._ended,
    TaskDeleted: TaskSpans._deleted,
}
