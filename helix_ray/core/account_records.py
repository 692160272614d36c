"""The records of users and of what they sign in with: sessions and API tokens, also those that ended."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar

from helix_ray.core.secrets import conceal


@conceal
@dataclass(slots=True)
class User:
    """A user who may log in."""

    secret_fields: ClassVar[tuple[str, ...]] = ("password_hash",)

    id: str
    username: str
    password_hash: str
    roles: tuple[str, ...]
    created_at: float


@conceal
@dataclass(slots=True, kw_only=True)
class Session:
    """A login. `spent` has the hashes of exchanged refresh tokens, and when, the newest last: one that is
    used again much later was stolen."""

    secret_fields: ClassVar[tuple[str, ...]] = ("refresh_hash", "spent")

    id: str
    user_id: str
    refresh_hash: str
    expires_at: float
    opened_at: float
    spent: dict[str, float] = field(default_factory=dict)
    # Where from it was opened.
    address: str = ""
    user_agent: str = ""


@conceal
@dataclass(slots=True, kw_only=True)
class ApiToken:
    """A long-lived credential of a program. `shown` are the first characters of its secret, which
    identify it in listings."""

    secret_fields: ClassVar[tuple[str, ...]] = ("token_hash",)

    id: str
    user_id: str
    name: str
    token_hash: str
    shown: str
    roles: tuple[str, ...]
    # None: not restricted to projects.
    projects: tuple[str, ...] | None
    created_at: float
    expires_at: float
    last_used_at: float | None = None


@conceal
@dataclass(slots=True)
class Ended:
    """A session or API token that ended: why (core/ended.py), when, and the hashes that
    a client may still send."""

    secret_fields: ClassVar[tuple[str, ...]] = ("hashes",)

    user_id: str
    reason: str
    at: float
    hashes: list[str]
