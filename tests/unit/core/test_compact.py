"""What travels between processes pickles as a short call of its class, and comes back equal."""

from __future__ import annotations

import copy
import pickle
from dataclasses import fields
from typing import Any

import pytest

from helix_ray.core.access import SYSTEM
from helix_ray.core.events import Fact, LoginRefused, TaskReleased, TasksRetired, TaskSubmitted
from helix_ray.core.orders import AttemptReport, Order, Receipt, Refusal, RetryTask, SubmitTasks
from helix_ray.core.origin import Origin

THINGS: list[Any] = [
    SYSTEM,
    TaskReleased("task-1"),
    TasksRetired(["task-1"], 7),
    Fact(1, 2.5, "user-1", "req-1", TaskSubmitted("task-1", "user-1", {"title": "t"}, ["task-0"])),
    Refusal(
        "login",
        "credentials",
        "ada",
        author="anonymous",
        request_id="req-1",
        origin=Origin("192.0.2.7"),
        count=3,
    ),
    Order(SubmitTasks(({"title": "t"},), frozenset({"task-0"})), SYSTEM, "req-1", "seed", "key", "print"),
    Fact(2, 2.5, "user-1", "req-1", LoginRefused("ada"), Origin("192.0.2.7", "session-1", "curl/8")),
    Order(
        RetryTask("task-1"), SYSTEM, "req-1", "seed", origin=Origin("2001:db8::/64", "token-1", "helix/0.1")
    ),
    Order(RetryTask("task-1"), SYSTEM, "req-1", "seed"),
    AttemptReport("task-1", 1, "completed", {"success": True}, duration_s=0.1),
    Receipt(3, {"id": "task-1"}, replayed=True),
]


@pytest.mark.parametrize("thing", THINGS, ids=lambda thing: type(thing).__name__)
def test_a_thing_comes_back_equal(thing: Any) -> None:
    """By pickle of every protocol that is in use, and by copy."""
    for protocol in (2, 5):
        assert pickle.loads(pickle.dumps(thing, protocol)) == thing
    assert copy.deepcopy(thing) == thing


@pytest.mark.parametrize("thing", THINGS, ids=lambda thing: type(thing).__name__)
def test_field_names_do_not_travel(thing: Any) -> None:
    """The pickle contains the class's name and the values; field names would be most of it."""
    kind, values = thing.__reduce__()
    if any(field.kw_only for field in fields(thing)):
        kind, values = values
    assert kind is type(thing)
    assert len(values) == len(fields(thing))
