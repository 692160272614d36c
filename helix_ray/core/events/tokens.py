"""Facts about API tokens."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar


@dataclass(slots=True)
class TokenCreated:
    """An API token was created. `shown` are its first characters; `projects` None: not restricted to any."""

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
    """An API token was revoked, or removed after it expired."""

    id: str
    reason: str


@dataclass(slots=True)
class TokenUsed:
    """An API token is in use; recorded at intervals, not at every use."""

    id: str
