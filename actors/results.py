"""Converts outcomes of executors to attempt reports, and stores large results in the object store."""

from __future__ import annotations

from base64 import b64encode
from collections import OrderedDict
from collections.abc import Collection, Sequence
from typing import Any, TypedDict

import orjson
import ray

from helix_ray.core.errors import ErrorCode, Rejected
from helix_ray.core.orders import AttemptReport
from helix_ray.core.specs import JsonObject, TaskError
from helix_ray.core.values import fault
from helix_ray.execution.assignment import Assignment, Finished, Outcome
from helix_ray.execution.log import OUTPUT_TAIL_BYTES_MAX
from helix_ray.plain import plain_bytes

# How many large results a node keeps; the oldest are dropped first.
STORED_BYTES_MAX = 512 * 1024 * 1024
# The weight of the reports in one order (helix_ray/core/weight.py).
REPORTS_TASKS_MAX = 1000
RETRYABLE = frozenset({"failed", "timeout"})

Key = tuple[str, int]


class CommandOutput(TypedDict):
    """What is left of a command: the end of its output, how much came before that, how it ended, and how much
    it wrote."""

    output: str | None
    output_cut_bytes: int
    exit_code: int | None
    log_bytes: int


class ResultShelf:
    """Results that are too large for the journal: they are in Ray's object store,
    owned by this node worker."""

    def __init__(self, inline_bytes_max: int) -> None:
        self._inline_bytes_max = inline_bytes_max
        self._refs: OrderedDict[Key, tuple[Any, int]] = OrderedDict()
        self._bytes = 0

    def shelve(self, key: Key, result: JsonObject) -> JsonObject:
        """Return a small result itself, a large one as a reference; raise ValueError for one
        that no answer can show."""
        # A null may have been NaN, except the commonest result of all: a function that returns nothing.
        nothing = result.get("value", 0) is None
        size = plain_bytes({**result, "value": 0} if nothing else result)
        if size is None:
            found = fault(result["value"], "result") if "value" in result else fault(result)
            if found is not None:
                raise ValueError(f"{found.field}: {found.why}")
            size = len(orjson.dumps(result))
        if size <= self._inline_bytes_max:
            return result
        self.put(key, ray.put(result), size)
        return _reference(size, pickled="pickled" in result)

    def put(self, key: Key, reference: Any, size: int) -> None:
        """Keep a large result by its reference; the oldest make room."""
        self._refs[key] = (reference, size)
        self._bytes += size
        while self._bytes > STORED_BYTES_MAX and len(self._refs) > 1:
            _, (_, freed) = self._refs.popitem(last=False)
            self._bytes -= freed

    def remove(self, task_ids: Collection[str]) -> None:
        """Let the results of all attempts of these tasks go."""
        for key in [key for key in self._refs if key[0] in task_ids]:
            _, size = self._refs.pop(key)
            self._bytes -= size

    async def fetch(self, key: Key) -> JsonObject | None:
        """Return a stored result, or None when it has been dropped."""
        kept = self._refs.get(key)
        if kept is None:
            return None
        try:
            result: Any = await kept[0]
        except ray.exceptions.ObjectLostError:
            return None
        # A list has the parts of a pickle.
        return {"success": True, "pickled": result} if isinstance(result, list) else result


def _reference(size: int, *, pickled: bool) -> JsonObject:
    """Return what stands for a large result; `format` says that it is not for those who read JSON."""
    reference: JsonObject = {"success": True, "stored": "object_store", "bytes": size}
    return {**reference, "format": "pickle"} if pickled else reference


def reports_of_one_order(outgoing: Sequence[AttemptReport]) -> tuple[AttemptReport, ...]:
    """Return the first reports, up to the limit of one commit, but at least one."""
    count = weight = 0
    for report in outgoing:
        weight += report.work()
        if count and weight > REPORTS_TASKS_MAX:
            break
        count += 1
    return tuple(outgoing[:count])


def to_report(item: Finished, assignment: Assignment, shelf: ResultShelf) -> AttemptReport:
    """Convert an executor's outcome to a report for the control plane."""
    outcome = item.outcome
    duration = max(0.0, item.ended_at - item.started_at)
    key = (item.task_id, item.attempt)
    if outcome.ok:
        try:
            kept = outcome.kept_bytes
            result = (
                shelf.shelve(key, _success(assignment, outcome))
                if kept is None
                else _reference(kept, pickled=True)
            )
        except (
            Exception
        ) as problem:  # the object store may be full as well: the attempt has ended all the same
            return _untakeable(item, duration, problem)
        return AttemptReport(item.task_id, item.attempt, "completed", result, duration_s=duration)
    error = _error(outcome)
    if error["reason"] == "lost":
        return AttemptReport(item.task_id, item.attempt, "lost", error=error)
    failed = _failure(assignment, outcome)
    retryable = error["reason"] in RETRYABLE
    return AttemptReport(
        item.task_id, item.attempt, "failed", failed, error, duration_s=duration, retryable=retryable
    )


def _untakeable(item: Finished, duration_s: float, problem: Exception) -> AttemptReport:
    """Return the report of a successful attempt whose result cannot be stored."""
    reason = "not_serialisable" if isinstance(problem, ValueError) else "not_stored"
    error: TaskError = {"reason": reason, "type": type(problem).__name__, "message": str(problem)}
    return AttemptReport(
        item.task_id, item.attempt, "failed", error=error, duration_s=duration_s, retryable=False
    )


def refused(report: AttemptReport, why: Rejected) -> AttemptReport | None:
    """Return the report that replaces a refused one: its attempt failed. None where no report is needed.

    An attempt without any report would stay running for ever.
    """
    if why.code is ErrorCode.NOT_FOUND or report.outcome not in ("completed", "failed"):
        return None
    error: TaskError = {"reason": "report_refused", "type": why.code.value, "message": why.message}
    if report.error == error:
        return None
    return AttemptReport(report.task_id, report.attempt, "failed", error=error, retryable=False)


def _success(assignment: Assignment, outcome: Outcome) -> JsonObject:
    kind = assignment.run["kind"]
    if kind == "command":
        return {"success": True, **_output(outcome)}
    if kind in ("inference", "examination", "tuning"):
        return {"success": True, **outcome.result}
    if outcome.yielded is not None:
        items, size = outcome.yielded
        return {"success": True, "stored": "items", "format": "pickle", "items": items, "bytes": size}
    if outcome.pickled is not None:
        return {"success": True, "pickled": b64encode(outcome.pickled).decode()}
    return {"success": True, "value": outcome.result}


def _output(outcome: Outcome) -> CommandOutput:
    return {
        "output": outcome.output_tail,
        "output_cut_bytes": max(0, outcome.log_bytes - OUTPUT_TAIL_BYTES_MAX),
        "exit_code": outcome.exit_code,
        "log_bytes": outcome.log_bytes,
    }


def _failure(assignment: Assignment, outcome: Outcome) -> JsonObject | None:
    return {"success": False, **_output(outcome)} if assignment.run["kind"] == "command" else None


def _error(outcome: Outcome) -> TaskError:
    error = outcome.error
    if error is None:
        return {"reason": "failed", "type": "unknown", "message": "the executor did not report a reason"}
    said: TaskError = {"reason": error.reason, "type": error.type, "message": error.message}
    if error.traceback is not None:
        said["traceback"] = error.traceback
    if error.pickled is not None:
        said["pickled"] = b64encode(error.pickled).decode()
    return said
