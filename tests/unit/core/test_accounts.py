"""Users and sessions: who may make them, and what ends them."""

from __future__ import annotations

import pytest

from helix_ray.core import orders as o
from helix_ray.core.access import SYSTEM, Principal
from helix_ray.core.errors import ErrorCode
from helix_ray.core.events import SessionClosed
from helix_ray.core.policy import Policy
from tests.unit.core.stage import ADMIN, DEV, Stage


def add_user(stage: Stage, name: str = "ann", role: str = "developer") -> Principal:
    """Create a user; return it as a principal with session `sess-1`."""
    user_id = stage.give(o.CreateUser(name, "argon", (role,)), ADMIN)["id"]
    return Principal(user_id, name, (role,), "sess-1")


def log_in(stage: Stage, user: Principal, number: int, lasts_s: float = 100.0) -> None:
    """Open session number `number` of a user."""
    body = o.OpenSession(user.id, f"sess-{number}", f"hash-{number}", stage.now + lasts_s, "10.0.0.1")
    assert stage.give(body, SYSTEM) == {"session_id": f"sess-{number}"}


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
    ann, bob = add_user(stage), add_user(stage, "bob", "admin")
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
    """The same order again is no news; the same id for somebody else is a conflict; nobody's is not found."""
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
    """It is exchanged for another; one that comes again was stolen, and ends the session by a fact of its own."""
    ann = add_user(stage)
    log_in(stage, ann, 1)
    data = stage.give(o.RefreshSession("hash-1", "hash-1b", stage.now + 500), SYSTEM)
    assert data == {"session_id": "sess-1", "user_id": ann.id, "username": "ann", "roles": ["developer"]}
    assert stage.state.sessions["sess-1"].expires_at == stage.now + 500
    assert stage.give(o.RefreshSession("hash-1", "hash-1c", stage.now), SYSTEM) == {"refused": True}
    assert not stage.state.sessions
    for token in ("hash-1", "hash-1b", "hash-x"):
        assert stage.refuse(o.RefreshSession(token, "n", 0.0), SYSTEM).code is ErrorCode.UNAUTHORIZED


def test_an_expired_session_is_not_refreshed(stage: Stage) -> None:
    """Its time is over, token or not."""
    log_in(stage, add_user(stage), 1, lasts_s=5.0)
    stage.now += 6
    assert stage.refuse(o.RefreshSession("hash-1", "n", 0.0), SYSTEM).code is ErrorCode.UNAUTHORIZED


def test_logging_out(stage: Stage) -> None:
    """One's own session, or as an administrator anybody's; one that is gone already is no error."""
    ann = add_user(stage)
    log_in(stage, ann, 1)
    log_in(stage, ann, 2)
    assert stage.refuse(o.CloseSession("sess-1"), DEV).code is ErrorCode.NOT_FOUND
    stage.give(o.CloseSession("sess-1"), ann)
    stage.give(o.CloseSession("sess-1"), ann)
    stage.give(o.CloseSession("sess-2"), ADMIN)
    assert not stage.state.sessions


def test_a_failed_login_is_kept_for_the_audit(stage: Stage) -> None:
    """As a fact that changes nothing."""
    stage.give(o.RefuseLogin("ann", "10.0.0.1"), SYSTEM)
    assert stage.kinds() == ["LoginRefused"]
