"""JSON that a client chooses: whatever passes can be written by the journal, inside
everything else it writes."""

from __future__ import annotations

from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from helix_ray.core.events import TaskSubmitted
from helix_ray.core.spec_shape import malformed
from helix_ray.core.values import VALUE_DEPTH_MAX
from helix_ray.wire.tasks import EDITABLE, TASK, TaskIn, TaskUpdateIn
from helix_ray.wire.values import storable

json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)


def nested(levels: int, leaf: Any) -> Any:
    for i in range(levels):
        leaf = [leaf] if i % 2 else {"a": leaf}
    return leaf


@given(json_values)
def test_what_json_can_hold_is_kept_as_it_is(value: Any) -> None:
    assert storable(value) is value


@pytest.mark.parametrize("leaf", [1, [], "x"])
def test_depth_is_bounded_with_room_for_what_is_put_around_it(leaf: Any) -> None:
    deepest = nested(VALUE_DEPTH_MAX - 1, leaf)
    spec = TASK.validate_python(
        {"title": "t", "type": "building", "run": {"kind": "inference", "model": "m", "inputs": deepest}}
    )
    orjson.dumps([{"facts": [TaskSubmitted("task-1", "user-1", spec)]}])
    with pytest.raises(ValueError, match="nested deeper"):
        storable(nested(VALUE_DEPTH_MAX + 1, leaf))


@pytest.mark.parametrize(
    ("value", "why"),
    [
        (2**64, "^the integer does not fit in 64 bits"),
        ([[-(2**63) - 1]], "^0.0: the integer does not fit in 64 bits"),
        ({"a": ["\ud800"]}, "^a.0: the text is not valid Unicode"),
        ({"\ud800": 1}, r"^\\ud800: the key is not valid Unicode"),
        ([[{1, 2}]], "^0.0: a value of type set"),
        ({"a": {1: 2}}, "^a: a key of type int"),
        ({"a": float("nan"), "b": None}, "^a: nan cannot be represented in JSON"),
    ],
    ids=repr,
)
def test_what_the_journal_cannot_write_is_refused_by_its_place(value: Any, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        storable(value)


def test_a_valid_task_is_well_formed_for_the_core() -> None:
    """The wire is at least as strict as the last check before a fact."""
    whole = {
        "title": "t", "type": "building", "priority": "low", "resources": {"cpu": 0.5, "custom": {"a": 1}},
        "required_capabilities": ["x"], "labels": {"a": "b"}, "depends_on": ["task-1"], "max_retries": 1,
        "retry_backoff_s": 0, "timeout_s": 1, "deadline": "2100-01-01",
        "run": {"kind": "command", "shell": "x"},
    }  # fmt: skip
    assert malformed(TASK.validate_python(whole)) is None
    assert whole.keys() <= TaskIn.__annotations__.keys()


def test_every_edit_is_a_field_of_a_task() -> None:
    assert TaskIn.__annotations__.keys() >= EDITABLE
    reports = {"status", "progress", "result", "error", "attempt", "worker_id"}
    assert TaskUpdateIn.__annotations__.keys() == EDITABLE | reports
