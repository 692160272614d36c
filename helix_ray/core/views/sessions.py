"""Sessions, and who is behind a session or an API token, as questions are answered with them."""

from __future__ import annotations

from typing import TypedDict

from helix_ray.core.state import Session, User
from helix_ray.core.views.users import UserView


class SessionView(TypedDict):
    """One session without its refresh hashes."""

    id: str
    user_id: str
    expires_at: float


class SessionLineView(TypedDict):
    """One session in a listing: where from it was opened, and when it was last used (epoch seconds)."""

    id: str
    user: str
    address: str
    user_agent: str
    opened_at: float
    last_used_at: float
    expires_at: float


class SessionsView(TypedDict):
    """Open sessions, the oldest first."""

    sessions: list[SessionLineView]


class IdentityView(TypedDict):
    """Who somebody is, until when that holds, and through which session or API token they came."""

    user_id: str
    username: str
    roles: tuple[str, ...]
    expires_at: float
    session: str | None
    token: str | None
    projects: tuple[str, ...] | None
    last_used_at: float | None


class SignInView(TypedDict):
    """Who signs in. `account` is what failures are counted for, `name` what is recorded of the typed name;
    `user` is None for a name that is no account, and has the password's hash."""

    account: str
    name: str
    user: UserView | None
    wait_s: float


def session_view(session: Session) -> SessionView:
    """Return one session without its refresh hashes."""
    return {"id": session.id, "user_id": session.user_id, "expires_at": session.expires_at}


def session_line(session: Session, user: User, used_at: float) -> SessionLineView:
    """Return one session for a listing.

    `used_at` is its last use since the master started, 0 for none; before, it got new tokens at known times.
    """
    return {
        "id": session.id,
        "user": user.username,
        "address": session.address,
        "user_agent": session.user_agent,
        "opened_at": session.opened_at,
        "last_used_at": max(session.opened_at, used_at, *session.spent.values()),
        "expires_at": session.expires_at,
    }
