"""Outcomes as reports: whatever a task returned, its attempt ends, and says why where
its result cannot be kept."""

from __future__ import annotations

from typing import Any

import pytest

from actors.results import ResultShelf, refused, to_report
from helix_ray.core.errors import ErrorCode, Rejected
from helix_ray.core.orders import AttemptReport
from helix_ray.core.values import VALUE_DEPTH_MAX
from helix_ray.execution.assignment import Assignment, ErrorInfo, Finished, Outcome
from helix_ray.execution.jsonable import NotSerialisable, to_json

SHELF_BYTES = 64 * 1024


def report_of(value: Any, kind: str = "function") -> AttemptReport:
    assignment = Assignment("task-1", 1, {"kind": kind}, None, "/tmp")
    finished = Finished("task-1", 1, Outcome(True, value), 1.0, 3.5)
    return to_report(finished, assignment, ResultShelf(SHELF_BYTES))


def nested(levels: int) -> Any:
    value: Any = 1
    for _ in range(levels):
        value = [value]
    return value


def test_a_result_of_the_deepest_level_is_kept() -> None:
    """What an executor takes for JSON, the report takes, too."""
    value = to_json(nested(VALUE_DEPTH_MAX))
    assert report_of(value).result == {"success": True, "value": value}
    for levels in (VALUE_DEPTH_MAX + 1, 253, 254, 255):
        with pytest.raises(NotSerialisable, match="nested deeper than 100 levels"):
            to_json(nested(levels))


@pytest.mark.parametrize(
    ("value", "where"),
    [
        (nested(254), "result.0.0.0"),
        ({"a": float("nan")}, "result.a: nan"),
        (["\ud800"], "result.0: the text"),
        (2**64, "result: the integer"),
    ],
    ids=["depth 254", "nan", "lone surrogate", "2^64"],
)
def test_a_result_that_cannot_be_kept_ends_its_attempt(value: Any, where: str) -> None:
    """As failed, and not to be tried again: the next attempt would end the same way."""
    report = report_of(value)
    assert (report.outcome, report.result, report.retryable, report.duration_s) == (
        "failed",
        None,
        False,
        2.5,
    )
    assert report.error is not None
    assert report.error["reason"] == "not_serialisable"
    assert report.error["message"].startswith(where)


def test_a_result_that_finds_no_room_ends_its_attempt() -> None:
    """A full object store is no reason to run for ever."""

    class Full(ResultShelf):
        def shelve(self, key: tuple[str, int], result: dict[str, Any]) -> dict[str, Any]:
            raise MemoryError("the object store is full")

    finished = Finished("task-1", 1, Outcome(True, 1), 1.0, 2.0)
    report = to_report(finished, Assignment("task-1", 1, {"kind": "function"}, None, "/tmp"), Full(0))
    assert report.error == {
        "reason": "not_stored",
        "type": "MemoryError",
        "message": "the object store is full",
    }
    assert report.outcome == "failed"


def test_a_refused_report_is_followed_by_one_that_says_so() -> None:
    """Once: what is refused again is given up, and so is what nobody waits for."""
    why = Rejected(ErrorCode.INTERNAL_ERROR, "Internal error")
    told = refused(AttemptReport("task-1", 1, "completed", {"success": True}), why)
    assert told is not None
    assert (told.outcome, told.error and told.error["reason"]) == ("failed", "report_refused")
    assert refused(told, why) is None
    assert refused(AttemptReport("task-1", 1, "progressed", progress=5.0), why) is None
    gone = Rejected(ErrorCode.NOT_FOUND, "Worker not found")
    assert refused(AttemptReport("task-1", 1, "completed"), gone) is None


def outcome_report(outcome: Outcome) -> AttemptReport:
    assignment = Assignment("task-1", 1, {"kind": "function"}, None, "/tmp", payload=b"p")
    return to_report(Finished("task-1", 1, outcome, 1.0, 2.0), assignment, ResultShelf(SHELF_BYTES))


def test_what_was_yielded_is_counted_in_the_result() -> None:
    """A reader that finds fewer items knows that some are gone."""
    expected = {"success": True, "stored": "items", "format": "pickle", "items": 3, "bytes": 70}
    assert outcome_report(Outcome(True, yielded=(3, 70))).result == expected


@pytest.mark.parametrize("reason", ["arguments_lost", "items_full", "not_stored"])
def test_what_would_end_the_same_way_is_not_tried_again(reason: Any) -> None:
    """Arguments that are gone stay gone, and a bound is the same for every attempt."""
    report = outcome_report(Outcome(False, error=ErrorInfo(reason, "T", "m")))
    assert (report.outcome, report.retryable) == ("failed", False)


def test_a_large_pickle_is_said_to_be_one() -> None:
    """So nobody who reads JSON fetches it."""
    kept = outcome_report(Outcome(True, kept_bytes=9_000_000)).result
    assert kept == {"success": True, "stored": "object_store", "bytes": 9_000_000, "format": "pickle"}
