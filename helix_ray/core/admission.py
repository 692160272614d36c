"""The gate: every order is checked here before it is decided, from whichever interface it came.

An order is admitted when all values in it are plain (core/values.py) and of limited size. So no fact
contains a value that the journal, a snapshot, a follower or an answer cannot represent. Three kinds of
orders are not refused as a whole:

    SubmitTasks      each spec is refused separately; the others are accepted
    ReportAttempts   a report with an invalid result ends its attempt as failed, with the reason: a refused
                     report would leave the task running for ever
    Heartbeat        a node's figures are escaped: a node must not be lost because of the name of a device

`quick` returns the size of a value as JSON, or None where it may not be plain (helix_ray/plain.py). It costs
about a microsecond for each order; only values for which it returns None are examined in detail.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, fields, replace
from operator import attrgetter
from typing import Any, get_args

from helix_ray.core.errors import Rejected, invalid
from helix_ray.core.orders import (
    AnyOrder,
    AttemptReport,
    Heartbeat,
    NoteRefusals,
    OrderBody,
    Recalled,
    Refusal,
    ReportAttempts,
    SubmitTasks,
    UpdateTask,
)
from helix_ray.core.orders.kind import OrderKind
from helix_ray.core.specs import TaskError, TaskSpec
from helix_ray.core.values import VALUE_DEPTH_MAX, Fault, fault, shown

# Largest spec of a task, in bytes of JSON: a pickled call of cluster/payload.py fits, in base64.
SPEC_BYTES_MAX = 16 * 1024 * 1024
# Levels that a spec or a report adds around a value.
_WRAPPING_LEVELS = 2

Quick = Callable[[Any], int | None]
Checked = AnyOrder | Rejected


def check(order: AnyOrder, quick: Quick) -> Checked:
    """Return the order that may be decided, or its refusal: a VALIDATION_ERROR that names the field."""
    size = quick(
        [order.by.id, order.request_id, order.seed, order.key or "", order.fingerprint, *_chosen(order.body)]
    )
    if order.recalled is not None and (broken := _broken_record(order.recalled, quick)) is not None:
        return broken
    if size is not None and size <= SPEC_BYTES_MAX:
        return order
    envelope = {"by": order.by.id, "request_id": order.request_id, "seed": order.seed, "key": order.key}
    for name, text in {**envelope, "fingerprint": order.fingerprint}.items():
        found = fault(text, name)
        if found is not None:
            return refusal(found)
    close: Callable[[Any, Quick], Any] = _CLOSELY.get(type(order.body), _all_fields)
    body = close(order.body, quick)
    if isinstance(body, Rejected):
        return body
    return order if body is order.body else replace(order, body=body)


def _broken_record(recalled: Recalled, quick: Quick) -> Rejected | None:
    """Refuse records that are not plain: they cannot come from the history."""
    for task in recalled.tasks.values():
        if task is not None:
            values = [
                task.id,
                task.owner,
                task.spec,
                task.shard_results,
                [list(lease) for lease in task.leases],
            ]
            found = _fault(values, "recalled") if quick(values) is None else None
            if found is not None:
                return refusal(found)
    return None


def refusal(found: Fault, subject: str = "") -> Rejected:
    """Return the refusal of a value; `subject` is the noun for messages ("task")."""
    about = f"{subject} {found.field}" if subject else found.field
    return invalid(f"Invalid {about}: {found.why}", field=found.field)


def _fields_of(kind: Any) -> Callable[[Any], tuple[Any, ...]]:
    names = [field.name for field in fields(kind)]
    values: Callable[[Any], Any] = attrgetter(*names)
    return values if len(names) > 1 else lambda body: (values(body),)


_FIELDS: dict[type, Callable[[Any], tuple[Any, ...]]] = {
    kind: _fields_of(kind) for kind in get_args(OrderBody)
}


def _chosen(body: OrderKind[Any]) -> list[Any]:
    """Return an order's values without null fields: `quick` cannot distinguish null from NaN."""
    if isinstance(body, ReportAttempts):
        return [body.worker_id, body.boot, [_of_report(report) for report in body.reports]]
    return [value for value in _FIELDS[type(body)](body) if value is not None]


def _of_report(report: AttemptReport) -> list[Any]:
    result = report.result
    if type(result) is dict and None in result.values():
        # The commonest result of all: a function that returns nothing.
        result = {name: 0 if value is None else value for name, value in result.items()}
    return [
        report.task_id, report.attempt, report.outcome, result or 0, report.error or 0, report.progress or 0,
        report.note or 0, report.duration_s or 0,
    ]  # fmt: skip


def _all_fields(body: OrderBody, quick: Quick) -> Any:
    """Refuse an order for the first of its fields that is not plain."""
    for field in fields(body):
        found = _fault(getattr(body, field.name), field.name)
        if found is not None:
            return refusal(found)
    return body


def _fault(value: Any, *path: str) -> Fault | None:
    return fault(list(value) if isinstance(value, frozenset) else value, *path, depth_max=_DEPTH_MAX)


_DEPTH_MAX = VALUE_DEPTH_MAX + _WRAPPING_LEVELS


def check_specs(body: SubmitTasks, quick: Quick) -> SubmitTasks | Rejected:
    """Return an order with its admissible specs; the others are moved to `refused`."""
    refused = {i: why for i, spec in enumerate(body.specs) if (why := _spec_refusal(spec, quick)) is not None}
    if not refused:
        return body
    specs = tuple(TaskSpec() if i in refused else spec for i, spec in enumerate(body.specs))
    return replace(body, specs=specs, refused={**body.refused, **refused})


def _spec_refusal(spec: TaskSpec, quick: Quick) -> Rejected | None:
    size = quick(spec)
    if size is None:
        found = _fault(spec)
        if found is not None:
            return refusal(found, "task")
    elif size > SPEC_BYTES_MAX:
        return invalid("The task is too large", field="run", bytes=size, bytes_max=SPEC_BYTES_MAX)
    return None


def _update(body: UpdateTask, quick: Quick) -> UpdateTask | Rejected:
    """Name the edited fields as the request does."""
    found = next(filter(None, (_fault(value, name) for name, value in body.edits.items())), None)
    if found is not None:
        return refusal(found, "task")
    checked: UpdateTask | Rejected = _all_fields(body, quick)
    return checked


def _noted(body: NoteRefusals, quick: Quick) -> NoteRefusals | Rejected:
    noted_values = [asdict(noted) if isinstance(noted, Refusal) else noted for noted in body.refusals]
    found = fault(noted_values, "refusals")
    return body if found is None else refusal(found)


def _report(body: ReportAttempts, quick: Quick) -> ReportAttempts | Rejected:
    found = fault([body.worker_id, body.boot], "worker")
    if found is not None:
        return refusal(found)
    return replace(body, reports=tuple(_takeable(report, quick) for report in body.reports))


def _takeable(report: AttemptReport, quick: Quick) -> AttemptReport:
    """Return an admissible report: an invalid result is refused, texts and figures are escaped."""
    if quick(_of_report(report)) is not None:
        return report
    found = _fault(report.result, "result")
    if found is None and fault([report.error, report.note, report.progress, report.duration_s]) is None:
        return report
    kept = replace(
        report,
        error=shown(report.error, VALUE_DEPTH_MAX),
        note=shown(report.note, VALUE_DEPTH_MAX),
        progress=shown(report.progress, 0),
        duration_s=shown(report.duration_s, 0),
    )
    return kept if found is None else without_result(kept, found)


def without_result(report: AttemptReport, found: Fault) -> AttemptReport:
    """Return the report of an attempt with an invalid result: it has failed, with the reason."""
    if report.outcome != "completed":
        return replace(report, result=None)
    message = f"{found.field}: {found.why}"
    error: TaskError = {"reason": "not_serialisable", "type": "ResultRefused", "message": message}
    return replace(report, outcome="failed", result=None, error=error, retryable=False)


def _heartbeat(body: Heartbeat, quick: Quick) -> Heartbeat | Rejected:
    plain: Heartbeat | Rejected = _all_fields(replace(body, usage=shown(body.usage, VALUE_DEPTH_MAX)), quick)
    return plain


_CLOSELY: dict[type, Callable[[Any, Quick], Any]] = {
    NoteRefusals: _noted,
    SubmitTasks: check_specs,
    UpdateTask: _update,
    ReportAttempts: _report,
    Heartbeat: _heartbeat,
}
