"""Refusals survive the way between processes."""

from __future__ import annotations

import pickle
from typing import Any

import pytest

from helix_ray.client.errors import HelixError
from helix_ray.core.errors import (
    ErrorCode,
    Refused,
    Rejected,
    conflict,
    forbidden,
    invalid,
    not_found,
    shown_details,
)


def test_a_refusal_travels_as_an_exception() -> None:
    """It keeps its code, words and details through pickling."""
    refused = Refused(invalid("Invalid task type", field="type"))
    again = pickle.loads(pickle.dumps(refused))
    assert again.rejected == Rejected(ErrorCode.VALIDATION_ERROR, "Invalid task type", {"field": "type"})
    assert str(again) == "VALIDATION_ERROR: Invalid task type [field: type]"


def test_each_maker_has_its_code() -> None:
    """And what does not exist is named the same way as what may not be seen."""
    assert conflict("x").code is ErrorCode.CONFLICT
    assert forbidden("x", role="v").details == {"role": "v"}
    assert not_found("Task", "task-1") == Rejected(ErrorCode.NOT_FOUND, "Task not found", {"id": "task-1"})


@pytest.mark.parametrize(
    ("details", "words"),
    [
        ({}, ""),
        ({"id": "task-1", "other": 1}, ""),
        ({"field": "title", "chars_max": 500}, " [field: title, chars_max: 500]"),
        (
            {"field": "resources", "asked": {"cpu": 64.0}, "largest_node": {"cpu": 4.0, "gpu": 0.5}},
            " [field: resources, asked: cpu=64, largest_node: cpu=4 gpu=0.5]",
        ),
        ({"allowed_values": [*"abc"], "field": None}, " [allowed_values: a, b, c]"),
        ({"matches": [*range(30)]}, f" [matches: {', '.join(map(str, range(20)))}, ...]"),
    ],
)
def test_a_message_says_what_its_details_hold(details: dict[str, Any], words: str) -> None:
    """The field, the limit, what was asked and what there is: in the CLI, the client and the Python API."""
    assert shown_details(details) == words
    assert str(Refused(Rejected(ErrorCode.CONFLICT, "No", details))) == f"CONFLICT: No{words}"
    assert str(HelixError("CONFLICT", "No", details)) == f"CONFLICT: No{words}"
