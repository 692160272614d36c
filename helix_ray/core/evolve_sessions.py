"""Facts about sessions and API tokens, into state."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from helix_ray.core import events as ev
from helix_ray.core.ended import ENDED_HASHES_MAX, remember
from helix_ray.core.state import ApiToken, Ended, Session, State

# Exchanged refresh tokens by which a session still knows a thief; older ones are unknown, and refused as such.
SPENT_MAX = 1000


def end_sessions(state: State, user_id: str, kept: str | None, reason: str, at: float) -> None:
    """End all sessions of a user but one."""
    for session_id in [i for i in state.sessions_of.get(user_id, ()) if i != kept]:
        _end_session(state, session_id, reason, at)


def end_tokens(state: State, user_id: str, reason: str, at: float) -> None:
    """End all API tokens of a user."""
    for token_id in list(state.tokens_of.get(user_id, ())):
        _end_token(state, token_id, reason, at)


def _end_session(state: State, session_id: str, reason: str, at: float) -> None:
    session = state.sessions.pop(session_id)
    for refresh_hash in (session.refresh_hash, *session.spent):
        state.sessions_by_refresh.pop(refresh_hash, None)
    _drop(state.sessions_of, session.user_id, session_id)
    hashes = [*session.spent, session.refresh_hash][-ENDED_HASHES_MAX:]
    remember(state, session_id, Ended(session.user_id, reason, at, hashes))


def _end_token(state: State, token_id: str, reason: str, at: float) -> None:
    token = state.tokens.pop(token_id)
    del state.tokens_by_hash[token.token_hash]
    _drop(state.tokens_of, token.user_id, token_id)
    at = token.expires_at if reason == "expired" else at
    remember(state, token_id, Ended(token.user_id, reason, at, [token.token_hash]))


def _drop(index: dict[str, dict[str, None]], user_id: str, identifier: str) -> None:
    del index[user_id][identifier]
    if not index[user_id]:
        del index[user_id]


def index_session(state: State, session: Session) -> None:
    """Have a session found by its user and by its refresh tokens."""
    state.sessions_of.setdefault(session.user_id, {})[session.id] = None
    for refresh_hash in (*session.spent, session.refresh_hash):
        state.sessions_by_refresh[refresh_hash] = session.id


def index_token(state: State, token: ApiToken) -> None:
    """Have a token found by its user and by its hash."""
    state.tokens_of.setdefault(token.user_id, {})[token.id] = None
    state.tokens_by_hash[token.token_hash] = token.id


def _session_opened(state: State, event: ev.SessionOpened, fact: ev.Fact) -> None:
    session = Session(event.id, event.user_id, event.refresh_hash, event.expires_at, fact.at)
    state.sessions[event.id] = session
    index_session(state, session)


def _session_refreshed(state: State, event: ev.SessionRefreshed, fact: ev.Fact) -> None:
    session = state.sessions[event.id]
    session.spent[session.refresh_hash] = fact.at
    session.refresh_hash = event.refresh_hash
    session.expires_at = event.expires_at
    state.sessions_by_refresh[event.refresh_hash] = event.id
    if len(session.spent) > SPENT_MAX:
        oldest = next(iter(session.spent))
        del session.spent[oldest]
        state.sessions_by_refresh.pop(oldest, None)


def _session_closed(state: State, event: ev.SessionClosed, fact: ev.Fact) -> None:
    at = state.sessions[event.id].expires_at if event.reason == "expired" else fact.at
    _end_session(state, event.id, event.reason, at)


def _token_created(state: State, event: ev.TokenCreated, fact: ev.Fact) -> None:
    projects = None if event.projects is None else tuple(event.projects)
    token = ApiToken(
        event.id, event.user_id, event.name, event.token_hash, event.shown, tuple(event.roles), projects,
        fact.at, event.expires_at,
    )  # fmt: skip
    state.tokens[event.id] = token
    index_token(state, token)


def _token_revoked(state: State, event: ev.TokenRevoked, fact: ev.Fact) -> None:
    _end_token(state, event.id, event.reason, fact.at)


def _token_used(state: State, event: ev.TokenUsed, fact: ev.Fact) -> None:
    state.tokens[event.id].last_used_at = fact.at


SESSION_FACTS: dict[type[Any], Callable[[State, Any, ev.Fact], None]] = {
    ev.SessionOpened: _session_opened,
    ev.SessionRefreshed: _session_refreshed,
    ev.SessionClosed: _session_closed,
    ev.TokenCreated: _token_created,
    ev.TokenRevoked: _token_revoked,
    ev.TokenUsed: _token_used,
}
