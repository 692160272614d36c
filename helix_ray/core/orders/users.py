"""Orders about users. They contain only hashes of passwords."""

from __future__ import annotations

from dataclasses import dataclass

from helix_ray.core.access import ADMINS, EVERYBODY, Tokens
from helix_ray.core.orders.kind import IdData, OrderKind


@dataclass(frozen=True, slots=True)
class CreateUser(OrderKind[IdData]):
    """Add a user. `only_if_missing` returns an existing user instead of a conflict (first start)."""

    allowed = ADMINS
    secret_fields = ("password_hash",)
    needs_key = True

    username: str
    password_hash: str
    roles: tuple[str, ...]
    only_if_missing: bool = False


@dataclass(frozen=True, slots=True)
class RemoveUser(OrderKind[IdData]):
    """Remove a user and close their sessions."""

    allowed = ADMINS
    needs_key = True

    username: str


@dataclass(frozen=True, slots=True)
class ChangeRoles(OrderKind[IdData]):
    """Set the roles of a user; they apply from the next order on, also in open sessions."""

    allowed = ADMINS
    needs_key = True

    username: str
    roles: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class ChangePassword(OrderKind[IdData]):
    """Change a password; every session of the user but the caller's ends."""

    allowed = EVERYBODY
    secret_fields = ("password_hash",)
    tokens = Tokens.NONE
    needs_key = True

    user_id: str
    password_hash: str
