"""Every kind of fact has its place in the rule of what an erasure concerns (core/erasure.py)."""

from __future__ import annotations

from typing import get_args

import pytest

from helix_ray.core import events as ev
from helix_ray.core.erasure import BY_ID_ONLY, NEVER_ERASED, REFUSALS, Concerned

ADA = "user-ada"
# Facts about one task, user, session, token or external worker: erased with it. This table is written by
# hand on purpose: whoever adds a kind of fact decides here what an erasure does with it.
ABOUT_ONE_THING = frozenset(
    (
        "TaskSubmitted", "TaskAssigned", "TaskProgressed", "TaskOutlasted", "TaskRequeued", "TaskReleased",
        "TaskBlocked", "TaskUnblocked", "TaskPrioritised",
        "TaskCompleted", "TaskFailed", "TaskCancelled", "TaskEdited", "TaskDeleted", "TaskDeferred",
        "TaskRestored", "TaskMarked", "TasksRetired", "UserCreated", "UserRemoved", "RolesChanged",
        "PasswordChanged",
        "SessionOpened", "SessionRefreshed", "SessionClosed", "TokenCreated", "TokenRevoked", "TokenUsed",
        "WorkerRegistered", "WorkerDrained", "WorkerLost", "WorkerRetired",
        "WorkerCrossedThreshold",
        "WebhookCreated", "WebhookUpdated", "WebhookDeleted", "WebhookPaused", "WebhookResumed",
        "WebhookSwitchedOff", "WebhookSecretRotated", "WebhookTested", "WebhookRedeliveryAsked",
        "WebhooksMarked",
        "DeviceCodeIssued", "DeviceEnrolled", "DeviceRenamed", "DeviceFollowsSet", "DeviceRevoked",
        "MutationsPushed", "ConflictResolved",
    )
)  # fmt: skip


def test_every_kind_of_fact_has_a_place() -> None:
    """A kind that nobody has placed would be kept, or erased, by chance."""
    placed = [kind.__name__ for kind in (*NEVER_ERASED, *BY_ID_ONLY, *REFUSALS, ev.ReceiptKept)]
    assert sorted([*placed, *ABOUT_ONE_THING]) == sorted(kind.__name__ for kind in get_args(ev.Event))


@pytest.mark.parametrize(
    "event",
    [
        ev.QuotaSet(ADA, {"tasks": 5.0}, 1.0),
        ev.ProjectRemoved(ADA),
        ev.MemberAdded(ADA, ADA),
        ev.MemberRemoved(ADA, ADA),
        ev.ModelVersionPushed(ADA, 1, ADA, None, {"digest": "0" * 64, "bytes": 1}, "task-1"),
        ev.ModelVersionExamined(ADA, 1, "rejected", "signal 11"),
        ev.ModelActivated(ADA, 1),
        ev.ModelDeleted(ADA),
    ],
)
def test_facts_that_have_an_id_only_stay(event: ev.Event) -> None:
    """Also where the id of a project, or the name of a model, is that of the user who is erased."""
    fact = ev.Fact(1, 0.0, ADA, "req-1", event)
    assert not Concerned((), (ADA,)).has(fact)


@pytest.mark.parametrize(
    ("event", "concerned"),
    [
        (ev.RequestsRefused("ada", "login", "credentials"), True),
        (ev.RequestsRefused("ben", "login", "credentials", 9, 1.0, ["cid", "ada"]), True),
        (ev.LoginRefused("ada"), True),
        (ev.RequestsRefused("ben", "login", "credentials", 9, 1.0, ["cid"]), False),
        (ev.RequestsRefused("ada", "forbidden", "x"), False),
        (ev.RequestsRefused("x", "forbidden", "x", 2, 1.0, ["task-1"]), True),
    ],
)
def test_failed_sign_ins_are_found_by_the_name(event: ev.Event, *, concerned: bool) -> None:
    """Of the account, also as one of several that were tried; until somebody else has that name."""
    facts = [
        ev.Fact(1, 0.0, "user-admin", "req-1", ev.UserCreated(ADA, "ada", "hash", ["viewer"])),
        ev.Fact(2, 1.0, "user-admin", "req-2", ev.UserRemoved(ADA)),
        ev.Fact(3, 2.0, "anonymous", "req-3", event),
    ]
    seen = Concerned(("task-1",), (ADA,))
    assert [seen.has(fact) for fact in facts] == [True, True, concerned]
    again = ev.Fact(4, 3.0, "user-admin", "req-4", ev.UserCreated("user-other", "ada", "hash", ["viewer"]))
    assert not seen.has(again)
    assert not seen.has(ev.Fact(5, 4.0, "anonymous", "req-5", ev.RequestsRefused("ada", "login", "x")))
