"""Every fact is told by one public name, or to nobody on purpose, as plain JSON without secrets."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any, get_args

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from helix_ray.core import events as ev
from helix_ray.core.about import About, Audience, about
from helix_ray.core.errors import Rejected
from helix_ray.core.notices import EVENTS, FAMILIES, FILTER_VALUES_MAX, Filter, Notice, filter_of, notice_of
from helix_ray.core.state import State
from helix_ray.core.tellings import TELLINGS, UNTOLD
from helix_ray.core.values import fault
from helix_ray.webhooks.canonical import canonical
from tests.unit.core.made_facts import KINDS, made

OF_TASK = About(Audience("tasks", ("user-1",), "p"), "p", "building", {"zone": "a"}, "completed", "one")
# What an older release may have stored: integers beyond 64 bits, NaN, text with lone surrogates.
odd = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters(codec=None)),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=8,
)


def told(event: Any, found: About | None = None) -> Notice | None:
    """Return what is told of an event."""
    return notice_of(ev.Fact(7, 100.0, "user-1", "req", event), found or about(State(), event))


def test_every_kind_has_a_name_or_is_told_to_nobody_on_purpose() -> None:
    """A fact of another kind cannot be forgotten here."""
    everything = {*get_args(ev.Event), ev.Erased}
    assert set(TELLINGS) | UNTOLD == everything
    assert set(TELLINGS) & UNTOLD == set()


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_what_is_told_is_plain_and_has_no_secret(kind: type[Any]) -> None:
    """For each kind: a name of the list, JSON values, and nothing that is masked or sealed."""
    notice = told(made(kind, "thing-1", "user-1", "p"))
    assert (notice is None) == (kind in UNTOLD)
    if notice is None:
        return
    assert notice.event in EVENTS
    assert (notice.seq, notice.at, notice.subject) == (7, 100.0, "thing-1")
    assert fault(notice.data) is None
    text = orjson.dumps(notice.data)
    assert b"canary" not in text
    assert b"hash" not in text
    assert b"pickled" not in text


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_every_time_is_told_as_the_api_writes_it(kind: type[Any]) -> None:
    """What is named as a time is text in ISO 8601, and never epoch seconds; a time that is none is null."""
    notice = told(made(kind, "thing-1", "user-1", "p"))
    data = {} if notice is None else notice.data
    for name, value in data.items():
        if name.endswith("_at") or name in ("until", "not_before", "deadline"):
            assert value is None or str(value).endswith("Z"), name
            assert not isinstance(value, (int, float)), name


def test_times_of_notices_are_those_of_the_facts() -> None:
    """To the millisecond; a deadline that was changed among them, and one that was taken away is null."""
    opened = told(replace(made(ev.SessionOpened, "s", "user-1", "p"), expires_at=1_762_513_200.25))
    assert opened is not None
    assert opened.data["expires_at"] == "2025-11-07T11:00:00.250Z"
    edited = told(ev.TaskEdited("t", {"deadline": 1_762_513_200.0}), OF_TASK)
    assert edited is not None
    assert edited.data["changes"] == {"deadline": "2025-11-07T11:00:00.000Z"}
    edited = told(ev.TaskEdited("t", {"deadline": None}), OF_TASK)
    assert edited is not None
    assert edited.data["changes"] == {"deadline": None}


@settings(max_examples=300)
@given(odd, st.sampled_from((ev.TaskCompleted, ev.TaskFailed)))
def test_every_result_that_a_journal_can_hold_makes_plain_data(result: Any, kind: Any) -> None:
    """Whatever an older release stored is told as answers show it."""
    fields = {"error": {"reason": "exit", "message": result}} if kind is ev.TaskFailed else {}
    notice = told(kind(id="task-1", attempt=1, result=result, **fields), OF_TASK)
    assert notice is not None
    assert fault(notice.data, depth_max=200) is None
    orjson.dumps(notice.data)


def test_a_completed_task_is_told_in_the_words_of_the_api() -> None:
    """task_id, status and result, as the reference has it."""
    notice = told(ev.TaskCompleted("task-456", 1, {"success": True}, 2.5), OF_TASK)
    assert notice is not None
    assert notice.event == "task.completed"
    assert notice.data == {
        "task_id": "task-456", "title": "one", "type": "building", "project_id": "p", "status": "completed",
        "attempt": 1, "result": {"success": True}, "duration_s": 2.5,
    }  # fmt: skip


def test_a_duration_is_written_alike_by_all_writers() -> None:
    """A receiver that parses a body and writes it again gets the bytes that were signed."""
    for seconds in (0.00004291534423828125, 0.00009999, 0.0023456789, 12.0, 86_400.5):
        notice = told(ev.TaskCompleted("task-1", 1, None, seconds), OF_TASK)
        assert notice is not None
        written = canonical(notice.data)
        assert json.dumps(json.loads(written), sort_keys=True, separators=(",", ":")).encode() == written


def test_workers_of_nodes_have_their_own_names() -> None:
    """The form of the id tells, also of a worker that is gone."""
    workers = ("worker-node-1", "worker-ext_1", "worker_bot")
    named = [notice.event for notice in map(told, map(ev.WorkerRetired, workers)) if notice]
    assert named == ["node.removed", "worker.removed", "worker.removed"]


def test_refused_logins_have_their_own_name() -> None:
    """Other refusals have another."""
    names = [told(ev.RequestsRefused("dev", kind, "credentials")) for kind in ("login", "order")]
    assert [notice and notice.event for notice in names] == [
        "security.login_refused", "security.requests_refused"
    ]  # fmt: skip


def test_all_accounts_that_were_guessed_at_are_told() -> None:
    """Not only the first of those whose failures are counted together."""
    notice = told(ev.RequestsRefused("ada", "login", "credentials", 41, 1.0, ["ben"]))
    assert notice is not None
    assert notice.data["subjects"] == ["ada", "ben"]


def test_a_filter_expands_wildcards() -> None:
    """A family, all, or names that are given twice."""
    family = filter_of(events=("task.*", "task.failed", "model.pushed"))
    assert isinstance(family, Filter)
    assert family.events == (*(name for name in EVENTS if name.startswith("task.")), "model.pushed")
    assert filter_of(events=("*", "task.failed")) == Filter()


@pytest.mark.parametrize("name", ["task.finished", "task", "task*", "", ".*", "completed", "*.failed"])
def test_an_unknown_name_is_refused_with_the_list(name: str) -> None:
    """And so is what looks like a wildcard but is none."""
    refused = filter_of(events=("task.failed", name))
    assert isinstance(refused, Rejected)
    assert refused.details["unknown"] == [name]
    assert refused.details["allowed_values"] == [*EVENTS, *FAMILIES, "*"]


def test_an_unknown_status_is_refused_with_the_list() -> None:
    """A filter that could never match is a mistake."""
    refused = filter_of(statuses=("done",))
    assert isinstance(refused, Rejected)
    assert "completed" in refused.details["allowed_values"]


def test_a_filter_has_limits() -> None:
    """In values, and in their length."""
    assert isinstance(filter_of(projects=[str(n) for n in range(FILTER_VALUES_MAX + 1)]), Rejected)
    assert isinstance(filter_of(labels={"a": "x" * 1000}), Rejected)


@pytest.mark.parametrize(
    ("filtered", "wanted"),
    [
        ({}, True),
        ({"events": ("task.completed",)}, True),
        ({"events": ("task.failed",)}, False),
        ({"projects": ("p", "q")}, True),
        ({"projects": ("q",)}, False),
        ({"types": ("building",), "statuses": ("completed",)}, True),
        ({"types": ("planning",)}, False),
        ({"statuses": ("failed",)}, False),
        ({"labels": {"zone": "a"}}, True),
        ({"labels": {"zone": "a", "rack": "1"}}, False),
    ],
)
def test_every_part_of_a_filter_must_match(filtered: dict[str, Any], wanted: bool) -> None:
    """And any value of a part does."""
    notice = told(ev.TaskCompleted("task-1", 1), OF_TASK)
    made_filter = filter_of(**filtered)
    assert notice is not None
    assert isinstance(made_filter, Filter)
    assert made_filter.wants(notice) is wanted
