"""Refusals survive the way between processes."""

from __future__ import annotations

import pickle

from helix_ray.core.errors import ErrorCode, Refused, Rejected, conflict, forbidden, invalid, not_found


def test_a_refusal_travels_as_an_exception() -> None:
    """It keeps its code, words and details through pickling."""
    refused = Refused(invalid("Invalid task type", field="type"))
    again = pickle.loads(pickle.dumps(refused))
    assert again.rejected == Rejected(ErrorCode.VALIDATION_ERROR, "Invalid task type", {"field": "type"})
    assert str(again) == "VALIDATION_ERROR: Invalid task type"


def test_each_maker_has_its_code() -> None:
    """And what does not exist is named the same way as what may not be seen."""
    assert conflict("x").code is ErrorCode.CONFLICT
    assert forbidden("x", role="v").details == {"role": "v"}
    assert not_found("Task", "task-1") == Rejected(ErrorCode.NOT_FOUND, "Task not found", {"id": "task-1"})
