"""Every kind of fact is an act with one schema, or declared internal; records have no secrets."""

from __future__ import annotations

from dataclasses import asdict, replace
from typing import Any, get_args

import pytest

from helix_ray.core import events as ev
from helix_ray.core.audit.kinds import ACTS, BY_PEOPLE, INTERNAL
from helix_ray.core.audit.records import NAMED_MAX, records_of
from helix_ray.core.audit.settings import _CHANGES, change_of
from helix_ray.core.origin import Origin
from helix_ray.core.secrets import MASK, rewritten, secrets_of
from helix_ray.core.specs import TaskEdits
from tests.unit.core.made_facts import made
from tests.unit.core.stage import spec

CANARY = "canary-3f9c"
FROM = Origin("192.0.2.7", "session-1", "curl/8")


def fact(seq: int, event: Any, actor: str = "user-ada", request: str = "req-1") -> ev.Fact:
    return ev.Fact(seq, 100.0, actor, request, event, FROM)


def test_every_kind_of_fact_is_one_thing() -> None:
    """Each kind is in exactly one of the three tables."""
    kinds = [*ACTS, *BY_PEOPLE, *INTERNAL]
    assert len(kinds) == len(set(kinds))
    assert set(kinds) == set(get_args(ev.Event))


@pytest.mark.parametrize("kind", [*ACTS, *BY_PEOPLE], ids=lambda kind: kind.__name__)
def test_records_have_no_secrets(kind: type[Any]) -> None:
    """What is declared secret does not stand in a record, whatever else does."""
    event = rewritten(made(kind, "thing-1", "user-bob", "p"), secrets_of(kind), lambda _: CANARY)
    for record in records_of([fact(1, event)]):
        assert CANARY not in repr(asdict(record))
        text = repr(asdict(replace(record, change=None)))
        assert MASK not in text
        assert "192.0.2.7" in text
        assert "req-1" in text


def test_the_address_of_a_webhook_does_not_stand_in_a_record() -> None:
    """Receivers are often known by a secret in their URL, which its owner shows to nobody else."""
    event = made(ev.WebhookCreated, "webhook-1", "user-bob", "p")
    event.url = f"https://hooks.example/{CANARY}"
    (record,) = records_of([fact(1, event)])
    assert CANARY not in repr(asdict(record))


def test_the_tasks_of_a_request_make_one_record() -> None:
    """A thousand tasks of one request are one record; another request or author begins a new one."""
    facts = [fact(seq, ev.TaskSubmitted(f"task-{seq}", "user-ada", spec())) for seq in range(1, 1001)]
    facts.append(fact(1001, ev.TaskSubmitted("task-1001", "user-ada", spec()), request="req-2"))
    first, second = records_of(facts)
    assert (first.seq, first.last_seq, first.count, len(first.ids)) == (1, 1000, 1000, NAMED_MAX)
    assert (second.seq, second.count, second.action) == (1001, 1, "submit_task")


def test_who_sends_the_same_request_id_again_hides_nothing() -> None:
    """Clients may choose it. What is done under it at another time, from elsewhere or otherwise has a record
    of its own; a fact that was erased says nothing else than its neighbours."""

    def edit(seq: int, **changes: Any) -> ev.Fact:
        return fact(seq, ev.TaskEdited(f"task-{seq}", {**changes}))  # type: ignore[typeddict-item]

    elsewhere = replace(edit(4, title="b"), origin=Origin("192.0.2.8", "session-2", "curl/8"))
    facts = [
        edit(1, title="a"), edit(2, title="b"), edit(3, priority="low"), elsewhere,
        replace(elsewhere, seq=5, at=101.0), fact(6, ev.Erased("task-6", "TaskEdited")),
        edit(7, priority="low"), edit(8, priority="high"),
    ]  # fmt: skip
    found = [
        (r.seq, r.last_seq, r.details.get("changed"), r.origin.address[-1], r.at) for r in records_of(facts)
    ]
    assert found == [
        (1, 2, ["title"], "7", 100.0), (3, 3, ["priority"], "7", 100.0), (4, 4, ["title"], "8", 100.0),
        (5, 5, ["title"], "8", 101.0), (6, 7, None, "7", 100.0), (8, 8, ["priority"], "7", 100.0),
    ]  # fmt: skip


def test_an_edit_names_what_was_changed() -> None:
    """And the priority, which decides what others wait for; not what people have written."""
    changed: TaskEdits = {"title": "a name", "priority": "critical"}
    (record,) = records_of([fact(1, ev.TaskEdited("task-1", changed))])
    assert record.details == {"changed": ["priority", "title"], "priority": "critical"}
    (record,) = records_of([fact(1, ev.TaskEdited("task-1", {"description": None}))])
    assert record.details == {"changed": ["description"]}


def test_the_system_ends_tasks_without_a_record() -> None:
    """A cancellation of a person is an act, one of the system is none; attempts never are."""
    assert not records_of([
        fact(1, ev.TaskCancelled("task-1", 1, "deadline"), actor="system"),
        fact(2, ev.TaskAssigned("task-1", 1, "worker-1")),
        fact(3, ev.TaskCompleted("task-1", 1)),
        fact(4, ev.TaskRequeued("task-1", 1, "lost"), actor="user-ada"),
    ])  # fmt: skip
    assert [r.action for r in records_of([fact(1, ev.TaskCancelled("task-1", 1, "asked"))])] == [
        "cancel_task"
    ]


def test_refusals_say_what_was_refused() -> None:
    """Wrong credentials are failures of authentication, missing rights denials of authorization."""
    refused = [fact(1, ev.RequestsRefused("ListUsers", kind, "why", count=3))
               for kind in ("login", "token", "forbidden")]  # fmt: skip
    found = [(r.event_type, r.action, r.result, r.count) for r in records_of(refused)]
    assert found == [
        ("authentication", "login", "failure", 3),
        ("authentication", "use_token", "failure", 3),
        ("authorization", "refused", "denied", 3),
    ]
    login = records_of([fact(1, ev.LoginRefused("ada"))])[0]
    assert (login.event_type, login.action, login.result) == ("authentication", "login", "failure")


def test_an_erased_fact_is_shown_as_erased() -> None:
    """Who acted and when stays; what it was about is gone."""
    found = records_of([fact(1, ev.Erased("task-1", "TaskSubmitted"))])[0]
    assert (found.action, found.user_id, found.erased, found.resource_id) == (
        "submit_task", "user-ada", True, "",
    )  # fmt: skip


def test_a_record_of_erased_facts_is_the_one_of_before_without_what_they_said() -> None:
    """Tasks of one request share a record, erased or not. A refusal does not become a success, and the
    system's own work is not recorded."""
    tasks = [ev.Erased("task-1", "TaskSubmitted"), ev.TaskSubmitted("task-2", "user-ada", spec())]
    for events in (tasks, tasks[::-1]):
        (found,) = records_of([fact(seq, event) for seq, event in enumerate(events, 1)])
        assert (found.erased, found.count, found.ids, found.resource_id) == (True, 2, [], "")
    between = [tasks[1], ev.Erased("task-2", "TaskAssigned"), tasks[1]]
    (found,) = records_of([fact(seq, event) for seq, event in enumerate(between, 1)])
    assert (found.erased, found.count) == (True, 2)
    results = [
        (found.action, found.result)
        for kind in ("LoginRefused", "RequestsRefused", "UserRemoved")
        for found in records_of([fact(1, ev.Erased("x", kind))])
    ]
    assert results == [("login", "failure"), ("refused", "denied"), ("remove_user", "success")]
    assert records_of([ev.Fact(1, 1.0, "system", "r", ev.Erased("task-1", "TaskCancelled"))]) == []


def test_a_change_is_shown_over_what_was_there() -> None:
    """Only what it has set, and of members who is among them; of a thing that ends, all that was known."""
    known: Any = {}
    shown = []
    for event in (
        ev.ProjectSet("p", "old", ["ann"]),
        ev.MemberAdded("p", "bob"),
        ev.MemberRemoved("p", "ann"),
        ev.QuotaSet("p", {"cpu": 2.0}),
        ev.QuotaSet("p", {"cpu": 4.0}),
        ev.ProjectRemoved("p"),
    ):
        change = change_of(event)
        assert change is not None
        before, after, known = change.over(known)
        shown.append((before, after))
    two, four = {"limits": {"cpu": 2.0}, "weight": 1.0}, {"limits": {"cpu": 4.0}, "weight": 1.0}
    assert shown == [
        ({}, {"name": "old", "members": ["ann"]}),
        ({"members": ["ann"]}, {"members": ["ann", "bob"]}),
        ({"members": ["ann", "bob"]}, {"members": ["bob"]}),
        ({}, two),
        (two, four),
        ({"name": "old", "members": ["bob"], **four}, {}),
    ]
    assert known == {}
    assert change_of(ev.SessionClosed("s", "logout")) is None


def test_what_is_secret_is_masked_on_both_sides() -> None:
    """Values of headers, passwords, and the addresses and certificates of webhooks; names of headers stay."""
    updated: Any = ev.WebhookUpdated(
        "webhook-1", {"url": "https://x", "headers": {"A": CANARY}, "ca": "PEM", "name": "n"}
    )
    found = change_of(updated)
    assert found is not None
    assert found.values == {"url": MASK, "headers": {"A": MASK}, "ca": MASK, "name": "n"}
    password = change_of(ev.PasswordChanged("user-1", "argon"))
    assert password is not None
    assert password.values == {"password": MASK}


@pytest.mark.parametrize("kind", _CHANGES, ids=lambda kind: kind.__name__)
def test_only_acts_that_have_a_record_set_something(kind: type[Any]) -> None:
    """And each of them can be read of a fact of its kind."""
    assert kind in ACTS
    assert change_of(made(kind, "thing-1", "user-bob", "p")) is not None
