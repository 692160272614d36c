"""Folds facts about API tokens."""

from __future__ import annotations

from helix_ray.core import events as ev
from helix_ray.core.ended import remember
from helix_ray.core.evolve.applier import Appliers
from helix_ray.core.evolve.sessions import drop_from
from helix_ray.core.state import ApiToken, Ended, State


def end_tokens(state: State, user_id: str, reason: str, at: float) -> None:
    """End all API tokens of a user."""
    for token_id in list(state.tokens_of.get(user_id, ())):
        end_token(state, token_id, reason, at)


def end_token(state: State, token_id: str, reason: str, at: float) -> None:
    """End one API token, or the credential of a device."""
    token = state.tokens.pop(token_id)
    del state.tokens_by_hash[token.token_hash]
    drop_from(state.tokens_of, token.user_id, token_id)
    at = token.expires_at if reason == "expired" else at
    remember(state, token_id, Ended(token.user_id, reason, at, [token.token_hash]))


def index_token(state: State, token: ApiToken) -> None:
    """Index a token by its user and its hash."""
    state.tokens_of.setdefault(token.user_id, {})[token.id] = None
    state.tokens_by_hash[token.token_hash] = token.id


def _token_created(state: State, event: ev.TokenCreated, fact: ev.Fact) -> None:
    projects = None if event.projects is None else tuple(event.projects)
    token = ApiToken(
        id=event.id,
        user_id=event.user_id,
        name=event.name,
        token_hash=event.token_hash,
        shown=event.shown,
        roles=tuple(event.roles),
        projects=projects,
        created_at=fact.at,
        expires_at=event.expires_at,
    )
    state.tokens[event.id] = token
    index_token(state, token)


def _token_revoked(state: State, event: ev.TokenRevoked, fact: ev.Fact) -> None:
    end_token(state, event.id, event.reason, fact.at)


def _token_used(state: State, event: ev.TokenUsed, fact: ev.Fact) -> None:
    state.tokens[event.id].last_used_at = fact.at


TOKEN_FACTS: Appliers = {
    ev.TokenCreated: _token_created,
    ev.TokenRevoked: _token_revoked,
    ev.TokenUsed: _token_used,
}
