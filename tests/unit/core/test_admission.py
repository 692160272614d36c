"""The gate: nothing that is not plain becomes a fact, whatever the order, and what is refused is named."""

from __future__ import annotations

import json
from dataclasses import Field, fields
from types import UnionType
from typing import Any, Union, get_args, get_origin, get_type_hints, is_typeddict

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from helix_ray.core import orders as o
from helix_ray.core.access import SYSTEM
from helix_ray.core.admission import SPEC_BYTES_MAX, check
from helix_ray.core.errors import ErrorCode, Rejected
from helix_ray.core.orders import AttemptReport, Order, OrderBody
from helix_ray.core.values import INTEGER_MAX, INTEGER_MIN, VALUE_DEPTH_MAX, fault, shown
from helix_ray.plain import NameRepeated, plain_bytes, read, stored
from tests.unit.core.stage import spec

LONE = "caf\udce9"


def nested(levels: int) -> Any:
    value: Any = 1
    for _ in range(levels):
        value = [value]
    return value


ODD: dict[str, Any] = {
    "lone surrogate": LONE,
    "lone surrogate in a key": {LONE: 1},
    "deep": nested(VALUE_DEPTH_MAX + 3),
    "very deep": nested(100_000),
    "2^64": 2**64,
    "-2^63-1": -(2**63) - 1,
    "10^400": 10**400,
    "nan": float("nan"),
    "inf": [float("inf"), None],
    "number as key": {1: 2},
    "bytes": b"x",
    "set": {1},
    "beside a null": {"a": None, "b": [LONE]},
}
TAKEN: dict[str, Any] = {
    "nul": "\0",
    "control": "\x1b[31m",
    "2^53+1": 2**53 + 1,
    "2^63": 2**63,
    "2^64-1": 2**64 - 1,
    "-2^63": -(2**63),
    "-0.0": -0.0,
    "empty key": {"": {"": []}},
    "long": "x" * 1_000_000,
    "wide": [[i, None, 0.5] for i in range(200)],
    "deepest": nested(VALUE_DEPTH_MAX),
    "other scripts": "Ω≈ç√ 漢字 🎉",
}


def order(body: OrderBody, **envelope: Any) -> Order:
    return Order(body, SYSTEM, envelope.pop("request_id", "req-1"), "seed", **envelope)


def refusal(body: OrderBody, **envelope: Any) -> Rejected:
    checked = check(order(body, **envelope), plain_bytes)
    assert isinstance(checked, Rejected), checked
    orjson.dumps([checked.message, checked.details])
    assert checked.code is ErrorCode.VALIDATION_ERROR
    return checked


def admitted(body: Any) -> Any:
    checked = check(order(body), plain_bytes)
    assert isinstance(checked, Order), checked
    return checked.body


@pytest.mark.parametrize("value", ODD.values(), ids=ODD)
def test_no_odd_value_passes_in_any_field_of_any_order(value: Any) -> None:
    """Every kind of order, every field: refused by name, or (reports, pulses)
    brought to what can be taken."""
    for kind in get_args(OrderBody):
        for field in fields(kind):
            kinds = get_type_hints(kind)
            body = kind(**{f.name: _filled(kinds[f.name]) for f in fields(kind)})
            object.__setattr__(body, field.name, _with(field, kinds[field.name], value))
            if kind is o.ReportAttempts and field.name == "reports":
                report = AttemptReport("t", 1, "failed", None, {"message": value})
                body = o.ReportAttempts("w", "b", (report,))
            checked = check(order(body), plain_bytes)
            if isinstance(checked, Order):
                assert all(_is_plain(getattr(checked.body, f.name)) for f in fields(kind)), (kind, field.name)
            else:
                orjson.dumps([checked.message, checked.details])


def _made_of(kind: Any, plain: type) -> bool:
    """Say whether values of a field's type are tuples, frozensets or objects, whatever these are of."""
    if get_origin(kind) in (Union, UnionType):
        return any(_made_of(part, plain) for part in get_args(kind))
    return (get_origin(kind) or kind) is plain or (plain is dict and is_typeddict(kind))


def _filled(kind: Any) -> Any:
    return next((plain() for plain in (tuple, frozenset, dict) if _made_of(kind, plain)), "x")


def _with(field: Field[Any], kind: Any, value: Any) -> Any:
    if field.name == "refused":
        return _filled(kind)
    if _made_of(kind, tuple):
        return ({"title": value},) if _made_of(get_args(kind)[0], dict) else (value,)
    return {"a": value} if _made_of(kind, dict) else value


def _is_plain(value: Any) -> bool:
    if isinstance(value, tuple):
        return all(map(_is_plain, value))
    if isinstance(value, AttemptReport):
        return all(_is_plain(getattr(value, f.name)) for f in fields(value))
    if isinstance(value, dict) and any(isinstance(item, Rejected) for item in value.values()):
        return True  # SubmitTasks.refused
    return fault(list(value) if isinstance(value, frozenset) else value) is None


@pytest.mark.parametrize("value", TAKEN.values(), ids=TAKEN)
def test_what_json_can_hold_passes_untouched(value: Any) -> None:
    for body in (
        o.UpdateTask("t", "completed", result=value),
        o.SubmitTasks((spec(run={"kind": "inference", "model": "m", "inputs": value}),)),
    ):
        sent = order(body)
        assert check(sent, plain_bytes) is sent
    report = AttemptReport("t", 1, "completed", {"success": True, "value": value})
    assert admitted(o.ReportAttempts("w", "b", (report,))).reports == (report,)
    assert stored(orjson.dumps({"result": value})) == {"result": value}


def test_a_spec_is_refused_by_itself() -> None:
    """The others are taken, and keep their numbers; the refusal names the field from the spec on."""
    argv = {"kind": "command", "argv": ["wc", LONE]}
    body = admitted(o.SubmitTasks((spec(), spec(run=argv), spec(labels={LONE: "x"}))))
    assert body.specs == (spec(), {}, {})
    assert [body.refused[i].details["field"] for i in (1, 2)] == ["run.argv.1", "labels.caf\\udce9"]


def test_a_spec_has_a_size() -> None:
    run = {"kind": "inference", "model": "m", "inputs": "x" * SPEC_BYTES_MAX}
    body = admitted(o.SubmitTasks((spec(), spec(run=run))))
    assert body.refused[1].details["bytes_max"] == SPEC_BYTES_MAX
    assert set(body.refused) == {1}


@pytest.mark.parametrize(
    ("body", "field"),
    [
        (o.UpdateTask("t", result={"a": [1, LONE]}), "result.a.1"),
        (o.UpdateTask("t", edits={"labels": {"a": LONE}}), "labels.a"),
        (o.UpdateTask("t", error={"message": float("nan")}), "error.message"),
        (o.RegisterWorker("h", (), {"cpu": float("inf")}), "resources.cpu"),
        (o.CreateProject("p", LONE), "name"),
        (o.DeleteTask(LONE), "task_id"),
        (
            o.NoteRefusals((o.Refusal("login", LONE, "ann", author="anonymous", request_id="req-1"),)),
            "refusals.0.reason",
        ),
    ],
    ids=lambda value: value if isinstance(value, str) else type(value).__name__,
)
def test_a_refusal_names_the_field(body: OrderBody, field: str) -> None:
    assert refusal(body).details["field"] == field


@pytest.mark.parametrize("name", ["request_id", "key", "fingerprint"])
def test_the_envelope_is_looked_at_too(name: str) -> None:
    """It stands in the header of every fact: one that could not be written would end the master."""
    assert refusal(o.CancelTask("t"), **{name: LONE}).details == {"field": name}


def test_a_result_that_cannot_be_taken_ends_its_attempt() -> None:
    """As failed, with the place and the reason, and not to be tried again; reports
    beside it are left alone."""
    good = AttemptReport("t-1", 1, "completed", {"success": True, "value": None}, duration_s=0.5)
    bad = AttemptReport("t-2", 1, "completed", {"success": True, "value": [0, {LONE: 1}]}, duration_s=0.5)
    body = admitted(o.ReportAttempts("w", "b", (good, bad)))
    assert body.reports[0] is good
    failed = body.reports[1]
    assert (failed.outcome, failed.result, failed.retryable) == ("failed", None, False)
    assert failed.error["reason"] == "not_serialisable"
    assert failed.error["message"].startswith("result.value.1.caf\\udce9: the key is not valid Unicode")


def test_what_else_a_report_says_is_shown_escaped() -> None:
    """The message of an exception may hold the name of a file that is no Unicode; a figure may be none."""
    error = {"reason": "failed", "message": LONE, "traceback": LONE}
    reports = (
        AttemptReport("t-1", 1, "failed", {"output": LONE}, error, duration_s=float("nan")),
        AttemptReport("t-2", 1, "progressed", progress=float("nan"), note=LONE),
    )
    failed, progressed = admitted(o.ReportAttempts("w", "b", reports)).reports
    assert failed.error == {"reason": "failed", "message": "caf\\udce9", "traceback": "caf\\udce9"}
    assert (failed.result, failed.duration_s, failed.retryable) == (None, None, True)
    assert (progressed.progress, progressed.note) == (None, "caf\\udce9")


def test_a_pulse_is_taken_with_odd_figures() -> None:
    """A node is not lost because a device has an odd name."""
    body = admitted(o.Heartbeat("w", usage={"devices": [{"name": LONE}], "load": float("nan")}))
    assert body.usage == {"devices": [{"name": "caf\\udce9"}], "load": None}


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters(exclude_categories=())),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(st.characters(exclude_categories=())), inner),
)


@given(json_values)
def test_shown_is_plain_and_leaves_the_plain_alone(value: Any) -> None:
    """What is stored is shown: whatever it was, it can be written, and what needed no escape is the same."""
    brought = shown(value)
    assert orjson.loads(orjson.dumps(brought)) == brought
    assert fault(brought) is None
    if fault(value) is None:
        assert brought == value


@given(st.integers(-(10**30), 10**30) | st.floats(allow_nan=False, allow_infinity=False))
def test_numbers_are_read_exactly_or_not_at_all(number: float) -> None:
    """No integer becomes another number on its way in."""
    for text in (repr(number), f'{{"a": [{number!r}]}}'):
        got = read(text.encode())
        got = got if text[0] != "{" else got["a"][0]
        if isinstance(number, float) or INTEGER_MIN <= number <= INTEGER_MAX:
            assert (got, type(got)) == (number, type(number))
        else:
            assert fault(got) is not None


NAMES = st.sampled_from(["a", "b", ":", 'c":', "\\u003a"])
TREES = st.recursive(
    st.sampled_from([1, 12345678901234567890123, "x", 'y":1', ":", None]),
    lambda inner: st.lists(inner, max_size=3) | st.lists(st.tuples(NAMES, inner), max_size=4).map(tuple),
    max_leaves=12,
)


def written(tree: Any, escape: bool) -> tuple[str, bool]:
    """Return a tree, whose tuples are objects, as JSON, and whether an object has a name twice."""
    if not isinstance(tree, list | tuple):
        text = json.dumps(tree)
        return (text.replace(":", "\\u003a") if escape else text), False
    inner = [written(item if isinstance(tree, list) else item[1], escape) for item in tree]
    twice = any(repeats for _, repeats in inner)
    if isinstance(tree, list):
        return f"[{', '.join(text for text, _ in inner)}]", twice
    names = [json.dumps(name) for name, _ in tree]
    pairs = (f"{name} :{text}" for name, (text, _) in zip(names, inner, strict=True))
    return f"{{{', '.join(pairs)}}}", twice or len({*names}) < len(names)


@given(tree=TREES, escape=st.booleans())
def test_a_name_that_is_given_twice_is_refused_and_nothing_else(tree: Any, escape: bool) -> None:
    """However its text is written, and whatever colons stand in its names and texts."""
    text, twice = written(tree, escape)
    if twice:
        with pytest.raises(NameRepeated):
            read(text.encode())
    else:
        assert read(text.encode()) == json.loads(text)


@pytest.mark.parametrize(
    "text", [b"1e400", b"-1e400", b"[1" + b"0" * 400 + b"]", b'{"a": 1' + b"0" * 5000 + b"}"]
)
def test_a_number_beyond_all_bounds_is_named(text: bytes) -> None:
    assert fault(read(text)) is not None
