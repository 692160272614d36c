"""Orders about API tokens, of which only hashes come in here."""

from __future__ import annotations

from dataclasses import dataclass

from helix_ray.core.access import EVERYBODY, SYSTEM_ONLY, Tokens
from helix_ray.core.orders.kind import OrderKind


@dataclass(frozen=True, slots=True)
class CreateToken(OrderKind):
    """Give the asker an API token. `token_hash` is its SHA-256, hex; `shown` its first characters.

    No roles: all that the asker has now. `projects` None: not bound to any.
    """

    allowed = EVERYBODY
    secret_fields = ("token_hash",)
    tokens = Tokens.NONE
    needs_key = True

    name: str
    token_hash: str
    shown: str
    ttl_s: float
    roles: tuple[str, ...] | None = None
    projects: tuple[str, ...] | None = None


@dataclass(frozen=True, slots=True)
class RevokeToken(OrderKind):
    """End an API token."""

    allowed = EVERYBODY
    tokens = Tokens.ALL
    needs_key = True

    token_id: str


@dataclass(frozen=True, slots=True)
class NoteTokenUse(OrderKind):
    """A replica saw an API token in use."""

    allowed = SYSTEM_ONLY
    needs_key = False  # one more note does no harm

    token_id: str
