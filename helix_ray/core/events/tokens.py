"""Facts about API tokens."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar


@dataclass(slots=True)
class TokenCreated:
    """A user has an API token. `shown` are its first characters; `projects` None: not bound to any."""

    secret_fields: ClassVar[tuple[str, ...]] = ("token_hash",)

    id: str
    user_id: str
    name: str
    token_hash: str
    shown: str
    roles: list[str]
    projects: list[str] | None
    expires_at: float


@dataclass(slots=True)
class TokenRevoked:
    """An API token ended: it was revoked, or cleared away after it expired."""

    id: str
    reason: str


@dataclass(slots=True)
class TokenUsed:
    """An API token is in use; noted now and then, not at every use."""

    id: str
