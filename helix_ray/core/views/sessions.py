"""Sessions, and who is behind a session or an API token, as questions are answered with them."""

from __future__ import annotations

from typing import TypedDict

from helix_ray.core.state import Session


class SessionView(TypedDict):
    """One session without its refresh hashes."""

    id: str
    user_id: str
    expires_at: float


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


def session_view(session: Session) -> SessionView:
    """Return one session without its refresh hashes."""
    return {"id": session.id, "user_id": session.user_id, "expires_at": session.expires_at}
