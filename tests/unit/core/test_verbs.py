"""What orders and questions say of themselves, and what must be there for each of them."""

from __future__ import annotations

import sys
from collections.abc import Generator
from dataclasses import fields
from typing import Any, get_args, get_origin, get_type_hints

import pytest

from helix_ray.core.access import Tokens
from helix_ray.core.answers import ANSWERERS, NEWS, STEPPERS
from helix_ray.core.answers.archived import COMPLETIONS
from helix_ray.core.decide import DECIDERS
from helix_ray.core.decide.outcome import Decision
from helix_ray.core.errors import Rejected
from helix_ray.core.orders import OrderBody
from helix_ray.core.orders.kind import OrderKind
from helix_ray.core.questions import (
    GetDelivery,
    ListAudit,
    ListDeliveries,
    ListTasks,
    NoticeTasks,
    PullChanges,
    Question,
    QuestionKind,
    Readiness,
    ReadItems,
    ReadLog,
    SecurityFigures,
    SyncStatus,
    WaitTasks,
)
from helix_ray.core.verbs import VERBS

ORDERS: tuple[type[OrderKind[Any]], ...] = get_args(OrderBody)
QUESTIONS: tuple[type[QuestionKind[Any]], ...] = get_args(Question)


@pytest.mark.parametrize("kind", VERBS.values(), ids=VERBS)
def test_it_says_who_may_use_it(kind: type[OrderKind[Any] | QuestionKind[Any]]) -> None:
    """Roles have no default; what is not for API tokens of projects is closed to them
    unless it says otherwise."""
    assert "allowed" in vars(kind)
    assert isinstance(kind.allowed, frozenset)
    assert isinstance(kind.tokens, Tokens)
    said = {"allowed", "tokens", "needs_key", "vital", "conflict_kept_as", "work", "work_in"}
    names = {field.name for field in fields(kind)}  # type: ignore[arg-type]
    assert said.isdisjoint(names), "a field would hide what the kind says"


@pytest.mark.parametrize("kind", ORDERS, ids=lambda kind: kind.__name__)
def test_an_order_says_whether_it_may_be_sent_again(kind: type[OrderKind[Any]]) -> None:
    """The master's answer can be lost: forgetting this would carry the order out twice."""
    assert "needs_key" in vars(kind)


def test_every_kind_of_order_is_decided() -> None:
    """One function an order, and none for what is no order."""
    assert set(DECIDERS) == set(ORDERS)


def test_every_kind_of_question_is_answered() -> None:
    """One function a question; those that the state cannot answer are answered by a
    node, by SyncDevices, by the notifier and by the gateway."""
    elsewhere = {ReadLog, ReadItems, Readiness, PullChanges, SyncStatus, ListDeliveries, GetDelivery}
    elsewhere |= {kind for kind in QUESTIONS if kind.of_journal or kind.of_hosts}
    assert set(ANSWERERS) | elsewhere == set(QUESTIONS)
    assert set(STEPPERS) == {kind for kind in QUESTIONS if kind.in_steps}
    assert set(NEWS) <= set(ANSWERERS)


def parts_of(kind: Any) -> set[Any]:
    """Return the types of a union, or the one that it is."""
    return {kind} if isinstance(kind, type) else set(get_args(kind))


@pytest.mark.parametrize("kind", ANSWERERS, ids=lambda kind: kind.__name__)
def test_an_answer_is_the_view_that_its_question_names(kind: type[QuestionKind[Any]]) -> None:
    """The table of answerers cannot say it to mypy, which believes the question."""
    (view,) = get_args(vars(kind)["__orig_bases__"][0])
    returned = [get_type_hints(ANSWERERS[kind])["return"]]
    if kind in STEPPERS:
        steps = get_type_hints(STEPPERS[kind])["return"]
        assert get_origin(steps) is Generator
        returned.append(get_args(steps)[2])
    for answer in returned:
        assert parts_of(answer) - {Rejected} == parts_of(view)


@pytest.mark.parametrize("kind", ORDERS, ids=lambda kind: kind.__name__)
def test_a_receipt_has_the_data_that_its_order_names(kind: type[OrderKind[Any]]) -> None:
    """The table of deciders cannot say it to mypy, which believes the order."""
    (data,) = get_args(vars(kind)["__orig_bases__"][0])
    returned = get_type_hints(DECIDERS[kind])["return"]
    parts = {returned} if get_origin(returned) is Decision else parts_of(returned) - {Rejected}
    assert [get_args(part) for part in parts] == [(data,)]


def test_every_question_about_a_task_is_asked_of_the_history_too() -> None:
    """Forgetting it would make a task of an hour ago unknown; what replicas keep is of one task."""
    about_one = {kind for kind in QUESTIONS if "task_id" in kind.__dataclass_fields__}
    about_many = {ListAudit, ListTasks, SecurityFigures, NoticeTasks, WaitTasks}
    assert about_one == set(COMPLETIONS) - about_many | {kind for kind in about_one if kind.of_node}
    assert {kind for kind in QUESTIONS if kind.of_node or kind.cached or kind.kept_on_nodes} <= about_one


@pytest.mark.parametrize(("base", "kinds"), [(OrderKind, ORDERS), (QuestionKind, QUESTIONS)])
def test_no_kind_is_left_out_of_the_union(base: type, kinds: tuple[type, ...]) -> None:
    """A class that is not among them would be no order, or no question, to the types and the tables."""
    # slots=True makes a second class of each: only what its module has by its name counts.
    made = {
        kind
        for kind in base.__subclasses__()
        if vars(sys.modules[kind.__module__]).get(kind.__name__) is kind
    }
    assert made == set(kinds)
