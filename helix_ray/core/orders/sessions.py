"""Orders about sessions. They contain only hashes of refresh tokens."""

from __future__ import annotations

from dataclasses import dataclass

from helix_ray.core.access import EVERYBODY, SYSTEM_ONLY, Tokens
from helix_ray.core.orders.kind import OrderKind


@dataclass(frozen=True, slots=True)
class OpenSession(OrderKind):
    """A login that succeeded. `refresh_hash` is the SHA-256 of the refresh token, hex."""

    allowed = SYSTEM_ONLY
    secret_fields = ("refresh_hash",)
    needs_key = True
    vital = True

    user_id: str
    session_id: str
    refresh_hash: str
    expires_at: float


@dataclass(frozen=True, slots=True)
class RefreshSession(OrderKind):
    """Exchange a refresh token; one that was used before closes the session."""

    allowed = SYSTEM_ONLY
    secret_fields = ("refresh_hash", "next_hash")
    needs_key = True
    vital = True

    refresh_hash: str
    next_hash: str
    expires_at: float


@dataclass(frozen=True, slots=True)
class CloseSession(OrderKind):
    """Log out."""

    allowed = EVERYBODY
    tokens = Tokens.NONE
    needs_key = True
    vital = True

    session_id: str
