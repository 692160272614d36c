"""Orders about API tokens. They contain only hashes of tokens."""

from __future__ import annotations

from dataclasses import KW_ONLY, dataclass

from helix_ray.core.access import EVERYBODY, SYSTEM_ONLY, Tokens
from helix_ray.core.orders.kind import IdData, NoData, OrderKind


@dataclass(frozen=True, slots=True)
class CreateToken(OrderKind[IdData]):
    """Create an API token for the caller. `token_hash` is its SHA-256, hex; `shown` its first characters.

    Without roles it has all current roles of the caller. `projects` None: not restricted to any.
    """

    allowed = EVERYBODY
    secret_fields = ("token_hash",)
    tokens = Tokens.NONE
    needs_key = True

    name: str
    token_hash: str
    shown: str
    ttl_s: float
    _: KW_ONLY
    roles: tuple[str, ...] | None = None
    projects: tuple[str, ...] | None = None


@dataclass(frozen=True, slots=True)
class RevokeToken(OrderKind[IdData]):
    """Revoke an API token."""

    allowed = EVERYBODY
    tokens = Tokens.ALL
    needs_key = True

    token_id: str


@dataclass(frozen=True, slots=True)
class NoteTokenUse(OrderKind[NoData]):
    """Record that an API token is in use."""

    allowed = SYSTEM_ONLY
    needs_key = False  # an additional record is harmless

    token_id: str
