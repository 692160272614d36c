"""API tokens as questions are answered with them."""

from __future__ import annotations

from typing import TypedDict

from helix_ray.core.state import ApiToken, User


class TokenView(TypedDict):
    """One API token without its hash; `shown` are the first characters of its secret."""

    id: str
    name: str
    user: str
    shown: str
    roles: list[str]
    projects: list[str] | None
    created_at: float
    expires_at: float
    last_used_at: float | None


class TokensView(TypedDict):
    """API tokens, the oldest first."""

    tokens: list[TokenView]


def token_view(token: ApiToken, user: User) -> TokenView:
    """Return one API token without its hash."""
    return {
        "id": token.id,
        "name": token.name,
        "user": user.username,
        "shown": token.shown,
        "roles": list(token.roles),
        "projects": None if token.projects is None else list(token.projects),
        "created_at": token.created_at,
        "expires_at": token.expires_at,
        "last_used_at": token.last_used_at,
    }
