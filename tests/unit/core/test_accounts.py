"""Users and sessions: who may make them, and what ends them."""

from __future__ import annotations

from dataclasses import fields, replace
from typing import get_args

import pytest

from helix_ray.core import ended
from helix_ray.core import orders as o
from helix_ray.core.access import SYSTEM, Principal
from helix_ray.core.errors import ErrorCode
from helix_ray.core.events import SessionClosed, UserCreated
from helix_ray.core.policy import Policy
from helix_ray.core.usernames import find_user_id
from tests.unit.core.stage import ADMIN, DEV, Stage, add_user, spec


def log_in(stage: Stage, user: Principal, number: int, lasts_s: float = 100.0) -> None:
    """Open session number `number` of a user."""
    body = o.OpenSession(user.id, f"sess-{number}", f"hash-{number}", stage.now + lasts_s)
    assert stage.give(body, SYSTEM)["session_id"] == f"sess-{number}"


@pytest.mark.parametrize("roles", [(), ("pope",), ("admin", "pope")])
def test_roles_are_known_ones(stage: Stage, roles: tuple[str, ...]) -> None:
    """And a user has at least one."""
    assert stage.refuse(o.CreateUser("ann", "argon", roles), ADMIN).details["field"] == "roles"


def test_names_are_taken_once(stage: Stage) -> None:
    """The first start asks for its administrator each time and gets the present one."""
    ann = add_user(stage)
    assert stage.refuse(o.CreateUser("ann", "argon", ("viewer",)), ADMIN).code is ErrorCode.CONFLICT
    assert stage.give(o.CreateUser("ann", "x", ("admin",), only_if_missing=True), SYSTEM) == {"id": ann.id}
    assert stage.state.users[ann.id].roles == ("developer",)


def test_a_removed_user_is_logged_out(stage: Stage) -> None:
    """Everywhere; nobody removes themselves or somebody who is not there."""
    ann, bob = add_user(stage), replace(add_user(stage, "bob", "admin"), session="sess-2")
    log_in(stage, ann, 1)
    log_in(stage, bob, 2)
    assert stage.refuse(o.RemoveUser("bob"), bob).code is ErrorCode.CONFLICT
    assert stage.refuse(o.RemoveUser("cid"), bob).code is ErrorCode.NOT_FOUND
    stage.give(o.RemoveUser("ann"), bob)
    assert list(stage.state.sessions) == ["sess-2"]
    add_user(stage)


def test_a_changed_password_ends_the_other_sessions(stage: Stage) -> None:
    """One's own session stays; an administrator's change ends all."""
    ann = add_user(stage)
    log_in(stage, ann, 1)
    log_in(stage, ann, 2)
    stage.give(o.ChangePassword(ann.id, "new"), ann)
    assert (stage.state.users[ann.id].password_hash, list(stage.state.sessions)) == ("new", ["sess-1"])
    assert stage.refuse(o.ChangePassword(ann.id, "new"), DEV).code is ErrorCode.FORBIDDEN
    assert stage.refuse(o.ChangePassword("user-x", "new"), ADMIN).code is ErrorCode.NOT_FOUND
    stage.give(o.ChangePassword(ann.id, "newer"), ADMIN)
    assert not stage.state.sessions


def test_sessions_have_a_limit() -> None:
    """Expired ones go first, then the oldest; another user's are nobody's business."""
    stage = Stage(Policy(sessions_per_user_max=2))
    ann, bob = add_user(stage), add_user(stage, "bob")
    log_in(stage, bob, 9)
    log_in(stage, ann, 1, lasts_s=5.0)
    log_in(stage, ann, 2)
    stage.now += 10
    log_in(stage, ann, 3)
    log_in(stage, ann, 4)
    assert list(stage.state.sessions) == ["sess-9", "sess-3", "sess-4"]
    reasons = [fact.event.reason for fact in stage.facts if isinstance(fact.event, SessionClosed)]
    assert reasons == ["expired", "evicted"]
    assert stage.sound()


def test_a_session_is_opened_once(stage: Stage) -> None:
    """The same order again changes nothing; the same id for another user is a conflict; an unknown user is
    not found."""
    ann = add_user(stage)
    log_in(stage, ann, 1)
    seq = stage.state.seq
    log_in(stage, ann, 1)
    assert stage.state.seq == seq
    other = o.OpenSession(ann.id, "sess-1", "hash-other", stage.now)
    assert stage.refuse(other, SYSTEM).code is ErrorCode.CONFLICT
    nobody = o.OpenSession("user-x", "sess-2", "hash-2", stage.now)
    assert stage.refuse(nobody, SYSTEM).code is ErrorCode.NOT_FOUND


def test_a_refresh_token_is_good_once(stage: Stage) -> None:
    """It is exchanged for another; one that comes again was stolen, and ends the
    session by a fact of its own."""
    ann = add_user(stage)
    log_in(stage, ann, 1)
    data = stage.give(o.RefreshSession("hash-1", "hash-1b", stage.now + 500), SYSTEM)
    assert data == {
        "session_id": "sess-1",
        "user_id": ann.id,
        "username": "ann",
        "roles": ["developer"],
        "next_hash": "hash-1b",
        "refreshed_at": stage.now,
        "expires_at": stage.now + 500,
    }
    assert stage.state.sessions["sess-1"].expires_at == stage.now + 500
    stage.now += 30.1
    data = stage.give(o.RefreshSession("hash-1", "hash-1c", stage.now), SYSTEM)
    assert (data["refused"], data["reason"]) == (True, "refresh_reused")
    assert not stage.state.sessions
    for token, reason in (("hash-1", "refresh_reused"), ("hash-1b", "refresh_reused"), ("hash-x", "unknown")):
        refusal = stage.refuse(o.RefreshSession(token, "n", 0.0), SYSTEM)
        assert (refusal.code, refusal.details["reason"]) == (ErrorCode.UNAUTHORIZED, reason)


def test_a_refresh_token_that_comes_twice_within_30_s_gets_the_same_answer(stage: Stage) -> None:
    """Also when its follower was exchanged meanwhile; the second time leaves no fact."""
    log_in(stage, add_user(stage), 1)
    ends = stage.now + 500
    first = stage.give(o.RefreshSession("hash-1", "hash-2", ends), SYSTEM)
    stage.now += 10
    second = stage.give(o.RefreshSession("hash-2", "hash-3", ends), SYSTEM)
    seq = stage.state.seq
    stage.now += 20
    assert stage.give(o.RefreshSession("hash-1", "other", 0.0), SYSTEM) == first
    assert stage.give(o.RefreshSession("hash-2", "other", 0.0), SYSTEM) == second
    assert stage.state.seq == seq
    stage.now += 0.5
    assert stage.give(o.RefreshSession("hash-2", "other", 0.0), SYSTEM) == second
    assert stage.give(o.RefreshSession("hash-1", "other", 0.0), SYSTEM)["refused"]


class TestWhatEnded:
    """A session that ended says why, for a while, and is bounded."""

    def test_every_reason_and_its_time(self, stage: Stage) -> None:
        """Requests and refreshes of the ended session get the reason."""
        ann = add_user(stage)
        for number in range(1, 5):
            log_in(stage, ann, number)
        by = {number: replace(ann, session=f"sess-{number}") for number in range(1, 5)}
        stage.give(o.CloseSession("sess-1"), by[1])
        stage.give(o.CloseSession("sess-2"), ADMIN)
        stage.give(o.ChangePassword(ann.id, "new"), by[3])
        reasons = {1: "logout", 2: "revoked", 4: "password_changed"}
        stage.now += 5
        for number, reason in reasons.items():
            refusal = stage.refuse(o.SubmitTasks((spec(),)), by[number])
            at, session = "2023-11-14T22:13:20Z", f"sess-{number}"
            assert refusal.details == {"reason": reason, "ended_at": at, "credential": session}
            refresh = o.RefreshSession(f"hash-{number}", "n", 0.0)
            assert stage.refuse(refresh, SYSTEM).details["reason"] == reason
        stage.now += 200
        assert stage.refuse(o.SubmitTasks((spec(),)), by[3]).details["reason"] == "expired"
        stage.give(o.RemoveUser("ann"), ADMIN)
        assert stage.refuse(o.SubmitTasks((spec(),)), by[3]).details["reason"] == "user_removed"

    def test_it_is_forgotten_after_a_week_and_beyond_a_number(
        self, stage: Stage, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The oldest first."""
        monkeypatch.setattr(ended, "ENDED_MAX", 2)
        ann = add_user(stage)
        for number in range(1, 5):
            log_in(stage, ann, number)
            stage.give(o.CloseSession(f"sess-{number}"), SYSTEM)
        assert list(stage.state.ended) == ["sess-3", "sess-4"]
        stage.now += ended.ENDED_KEEP_S + 1
        log_in(stage, ann, 5)
        stage.give(o.CloseSession("sess-5"), SYSTEM)
        assert list(stage.state.ended) == ["sess-5"]
        assert stage.sound()


def test_an_expired_session_is_not_refreshed(stage: Stage) -> None:
    """Its time is over, token or not."""
    log_in(stage, add_user(stage), 1, lasts_s=5.0)
    stage.now += 6
    assert stage.refuse(o.RefreshSession("hash-1", "n", 0.0), SYSTEM).code is ErrorCode.UNAUTHORIZED


def test_logging_out(stage: Stage) -> None:
    """One's own session, or any session as an administrator; one that has ended already is not an error."""
    ann = add_user(stage)
    log_in(stage, ann, 1)
    log_in(stage, ann, 2)
    log_in(stage, ann, 3)
    ann_2 = replace(ann, session="sess-3")
    assert stage.refuse(o.CloseSession("sess-1"), DEV).code is ErrorCode.NOT_FOUND
    stage.give(o.CloseSession("sess-1"), ann)
    assert stage.refuse(o.CloseSession("sess-1"), ann).code is ErrorCode.UNAUTHORIZED
    stage.give(o.CloseSession("sess-1"), ann_2)
    stage.give(o.CloseSession("sess-3"), ann_2)
    stage.give(o.CloseSession("sess-2"), ADMIN)
    assert not stage.state.sessions


class TestAuthority:
    """A decision looks at the state's user, roles and session, not at what the author says of themselves."""

    @pytest.mark.parametrize("kind", get_args(o.OrderBody), ids=lambda kind: kind.__name__)
    def test_nobody_gives_any_order_after_their_removal(self, stage: Stage, kind: type) -> None:
        """Whatever roles their principal still says, before anything else of the order is looked at."""
        ann = add_user(stage, role="admin")
        stage.give(o.RemoveUser("ann"), ADMIN)
        empty = kind(**{field.name: None for field in fields(kind)})
        refusal = stage.refuse(empty, replace(ann, session=None))
        assert (refusal.code, refusal.details["reason"]) == (ErrorCode.UNAUTHORIZED, "user_removed")

    def test_a_session_that_is_not_theirs_or_has_run_out_gives_no_orders(self, stage: Stage) -> None:
        """Neither one that never was, nor another user's, nor one that ended by its time."""
        ann, bob = add_user(stage), add_user(stage, "bob")
        log_in(stage, ann, 1, lasts_s=5.0)
        submit = o.SubmitTasks((spec(),))
        stage.give(submit, ann)
        for who in (replace(bob, session="sess-1"), replace(ann, session="sess-9")):
            assert stage.refuse(submit, who).code is ErrorCode.UNAUTHORIZED
        stage.now += 5
        assert stage.refuse(submit, ann).code is ErrorCode.UNAUTHORIZED

    def test_roles_are_those_of_the_state(self, stage: Stage) -> None:
        """More of them in a principal give nothing, fewer take nothing away; other roles count at once."""
        ann = replace(add_user(stage), session=None)
        boasting, modest = replace(ann, roles=("admin",)), replace(ann, roles=("viewer",))
        assert stage.refuse(o.DrainWorker("worker-x"), boasting).code is ErrorCode.FORBIDDEN
        stage.submit(spec(), by=modest)
        stage.give(o.ChangeRoles("ann", ("admin",)), ADMIN)
        assert stage.refuse(o.DrainWorker("worker-x"), ann).code is ErrorCode.NOT_FOUND
        stage.give(o.ChangeRoles("ann", ("viewer",)), ADMIN)
        assert stage.refuse(o.SubmitTasks((spec(),)), ann).code is ErrorCode.FORBIDDEN

    def test_a_kept_receipt_is_not_given_to_who_is_gone(self, stage: Stage) -> None:
        """But our own plane, which repeats an order for its lost answer, hears what came of it."""
        ann = add_user(stage)
        log_in(stage, ann, 1)
        mine = {"key": f"{ann.id}:k", "fingerprint": "f"}
        stage.give(o.SubmitTasks((spec(),)), ann, **mine)
        logout = {"key": "~logout", "fingerprint": "f"}
        stage.give(o.CloseSession("sess-1"), ann, **logout)
        assert stage.give(o.CloseSession("sess-1"), ann, **logout) == {}
        assert stage.refuse(o.SubmitTasks((spec(),)), ann, **mine).code is ErrorCode.UNAUTHORIZED


class TestNames:
    """The rule of core/usernames.py."""

    def test_names_that_differ_in_case_only_are_one(self, stage: Stage) -> None:
        """The first spelling is kept; any spelling finds the user."""
        add_user(stage, "Ann.Lee")
        refusal = stage.refuse(o.CreateUser("ann.LEE", "argon", ("viewer",)), ADMIN)
        assert (refusal.code, refusal.details["taken"]) == (ErrorCode.CONFLICT, "Ann.Lee")
        assert find_user_id(stage.state, "\uff41nn.lee") == find_user_id(stage.state, "Ann.Lee")
        stage.give(o.RemoveUser("ANN.LEE"), ADMIN)
        add_user(stage, "ann.lee")

    @pytest.mark.parametrize(
        "name",
        [
            "",
            "a b",
            "a\n",
            "\x00",
            "a\u202e",
            "\u0430dmin",
            "-a",
            "a/b",
            "a" * 129,
            "\ud800",
            "zo\u00eb",
            "System",
            "anonymous",
            "user-0123456789abcdefghjk",
            "USER-7",
            "unknown-0123abcd",
        ],
    )
    def test_odd_names_are_refused_at_every_door(self, stage: Stage, name: str) -> None:
        """One rule, in the core: ASCII letters, digits and . _ @ + -; what the audit calls others, and what
        looks like an id of theirs, is reserved."""
        assert stage.refuse(o.CreateUser(name, "argon", ("viewer",)), SYSTEM).details["field"] == "username"

    def test_an_old_journal_with_both_spellings_stays_usable(self, stage: Stage) -> None:
        """An exact spelling is that user, any other the one that was there first; each can be removed."""
        for user_id, name in (("user-1", "Bob"), ("user-2", "bob"), ("user-3", "zo\u00eb")):
            stage.fold(UserCreated(user_id, name, "argon", ["admin"]))
        found = {name: find_user_id(stage.state, name) for name in ("Bob", "bob", "BOB", "ZO\u00cb")}
        assert found == {"Bob": "user-1", "bob": "user-2", "BOB": "user-1", "ZO\u00cb": "user-3"}
        stage.give(o.RemoveUser("Bob"), ADMIN)
        assert find_user_id(stage.state, "BOB") == "user-2"
        assert stage.sound()


def test_the_last_administrator_stays(stage: Stage) -> None:
    """Neither removed nor given other roles, not even by the system; a second one makes room."""
    for order in (o.RemoveUser("admin"), o.ChangeRoles("admin", ("viewer",))):
        assert stage.refuse(order, SYSTEM).code is ErrorCode.CONFLICT
    assert stage.refuse(o.ChangeRoles("admin", ("viewer",)), ADMIN).code is ErrorCode.CONFLICT
    bob = replace(add_user(stage, "bob", "admin"), session=None)
    stage.give(o.RemoveUser("admin"), bob)
    assert stage.refuse(o.RemoveUser("bob"), SYSTEM).code is ErrorCode.CONFLICT
    assert stage.refuse(o.RemoveUser("bob"), ADMIN).code is ErrorCode.UNAUTHORIZED
    assert stage.state.admins == {bob.id}


def test_other_roles_are_known_ones_of_somebody(stage: Stage) -> None:
    """Setting the same roles again changes nothing."""
    add_user(stage)
    assert stage.refuse(o.ChangeRoles("ann", ("pope",)), ADMIN).details["field"] == "roles"
    assert stage.refuse(o.ChangeRoles("cid", ("viewer",)), ADMIN).code is ErrorCode.NOT_FOUND
    seq = stage.state.seq
    stage.give(o.ChangeRoles("ann", ("developer",)), ADMIN)
    assert stage.state.seq == seq
