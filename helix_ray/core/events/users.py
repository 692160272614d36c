"""Facts about users."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar


@dataclass(slots=True)
class UserCreated:
    """A user exists."""

    secret_fields: ClassVar[tuple[str, ...]] = ("password_hash",)

    id: str
    username: str
    password_hash: str
    roles: list[str]


@dataclass(slots=True)
class UserRemoved:
    """A user is gone, with every session."""

    id: str


@dataclass(slots=True)
class RolesChanged:
    """A user has other roles."""

    id: str
    roles: list[str]


@dataclass(slots=True)
class PasswordChanged:
    """A user has another password; sessions other than `kept_session` ended."""

    secret_fields: ClassVar[tuple[str, ...]] = ("password_hash",)

    id: str
    password_hash: str
    kept_session: str | None = None
