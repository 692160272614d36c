"""Questions about who is behind a session or an API token, into answers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from helix_ray.core import questions as q
from helix_ray.core.access import Principal
from helix_ray.core.authority import roles_of
from helix_ray.core.ended import why_gone
from helix_ray.core.errors import Rejected, not_found
from helix_ray.core.state import State
from helix_ray.core.usernames import find_user_id
from helix_ray.core.views import token_view
from helix_ray.core.visibility import administers

Answer = dict[str, Any] | Rejected


def _identify(state: State, question: q.Identify, by: Principal) -> Answer:
    """Say who it is, and until when that holds; UNAUTHORIZED, with the reason, when it has ended."""
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


def _list_tokens(state: State, question: q.ListTokens, by: Principal) -> Answer:
    """One's own; an administrator's, all or those of one user."""
    wanted: str | None = by.id
    if administers(by):
        wanted = None if question.username is None else find_user_id(state, question.username) or ""
    elif question.username is not None and find_user_id(state, question.username) != by.id:
        return not_found("User", question.username)
    if wanted == "":
        return not_found("User", question.username or "")
    ids = list(state.tokens) if wanted is None else list(state.tokens_of.get(wanted, ()))
    tokens = (state.tokens[token_id] for token_id in ids)
    return {"tokens": [token_view(token, state.users[token.user_id]) for token in tokens]}


IDENTITY_ANSWERERS: dict[type, Callable[[State, Any, Principal], Answer]] = {
    q.Identify: _identify,
    q.ListTokens: _list_tokens,
}
