"""Facts about users."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar


@dataclass(slots=True)
class UserCreated:
    """A user was added."""

    secret_fields: ClassVar[tuple[str, ...]] = ("password_hash",)

    id: str
    username: str
    password_hash: str
    roles: list[str]


@dataclass(slots=True)
class UserRemoved:
    """A user was removed with every session."""

    id: str


@dataclass(slots=True)
class RolesChanged:
    """The roles of a user were changed."""

    id: str
    roles: list[str]


@dataclass(slots=True)
class PasswordChanged:
    """The password of a user was changed; sessions other than `kept_session` ended."""

    secret_fields: ClassVar[tuple[str, ...]] = ("password_hash",)

    id: str
    password_hash: str
    kept_session: str | None = None
