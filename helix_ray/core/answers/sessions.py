"""Answers questions about sessions, and about the user of a session or API token."""

from __future__ import annotations

from typing import Any

from helix_ray.core import questions as q
from helix_ray.core.access import Principal
from helix_ray.core.answers.picture import Answer, Answerers, Picture
from helix_ray.core.authority import roles_of
from helix_ray.core.ended import why_gone
from helix_ray.core.errors import not_found
from helix_ray.core.state import State
from helix_ray.core.views import session_view


def _identify(picture: Picture, question: q.Identify, by: Principal) -> Answer:
    """Return the user, and when the session or token expires; UNAUTHORIZED with the
    reason when it has ended."""
    state = picture.state
    if question.token_hash is not None:
        return _by_token(state, question.token_hash)
    session = state.sessions.get(question.session_id or "")
    if session is None:
        return why_gone(state, question.session_id)
    user = state.users[session.user_id]
    return _identity(user.id, user.username, user.roles, session.expires_at, session=session.id)


def _by_token(state: State, token_hash: str) -> Answer:
    token = state.tokens.get(state.tokens_by_hash.get(token_hash, ""))
    if token is None:
        return why_gone(state, state.ended_by_hash.get(token_hash))
    user = state.users[token.user_id]
    return {
        **_identity(user.id, user.username, roles_of(token, user), token.expires_at, token=token.id),
        "projects": token.projects,
        "last_used_at": token.last_used_at,
    }


def _identity(
    user_id: str, name: str, roles: tuple[str, ...], expires_at: float, **through: str
) -> dict[str, Any]:
    known = {"user_id": user_id, "username": name, "roles": roles, "expires_at": expires_at}
    return {**known, "session": None, "token": None, "projects": None, "last_used_at": None, **through}


def _get_session(picture: Picture, question: q.GetSession, by: Principal) -> Answer:
    session_id = question.session_id or picture.state.sessions_by_refresh.get(question.refresh_hash or "", "")
    session = picture.state.sessions.get(session_id)
    return session_view(session) if session is not None else not_found("Session", session_id)


SESSION_ANSWERS: Answerers = {
    q.GetSession: _get_session,
    q.Identify: _identify,
}
