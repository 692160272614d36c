"""Users in JSON."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, TypeAdapter, with_config
from typing_extensions import TypedDict

from helix_ray.core.access import ROLES
from helix_ray.core.usernames import USERNAME_CHARS_MAX, USERNAME_PATTERN
from helix_ray.core.views.users import UserView
from helix_ray.wire.times import iso
from helix_ray.wire.values import CLOSED, STRICT, adapter

# Longer than any allowed password; longer input is refused before it is hashed.
PASSWORD_CHARS_MAX = 1_024

Username = Annotated[str, Field(max_length=USERNAME_CHARS_MAX, pattern=USERNAME_PATTERN, examples=["admin"])]
Password = Annotated[str, Field(min_length=1, max_length=PASSWORD_CHARS_MAX)]

Roles = Annotated[
    list[Annotated[str, Field(min_length=1, max_length=64, json_schema_extra={"enum": [*ROLES]})]],
    Field(min_length=1, max_length=len(ROLES)),
]


@with_config(STRICT)
class PasswordIn(TypedDict):
    """A change of one's own password."""

    current_password: Password
    new_password: Password


@with_config(STRICT)
class UserIn(TypedDict):
    """A user to add."""

    username: Username
    password: Password
    roles: Roles


@with_config(STRICT)
class RolesIn(TypedDict):
    """The roles to set."""

    roles: Roles


@with_config(CLOSED)
class UserBrief(TypedDict):
    """The user who is logged in."""

    id: Annotated[str, Field(examples=["user-123"])]
    username: Annotated[str, Field(examples=["admin"])]
    roles: Annotated[list[str], Field(examples=[["admin"]])]


@with_config(CLOSED)
class UserOut(UserBrief):
    """A user without secrets."""

    created_at: str


@with_config(CLOSED)
class UsersOut(TypedDict):
    """All users."""

    users: list[UserOut]


def user_out(view: UserView) -> UserOut:
    """Return a user's view, always without its password hash."""
    return {
        "id": view["id"],
        "username": view["username"],
        "roles": list(view["roles"]),
        "created_at": iso(view["created_at"]),
    }


PASSWORD: TypeAdapter[PasswordIn] = adapter(PasswordIn)
USER: TypeAdapter[UserIn] = adapter(UserIn)
ROLES_OF_USER: TypeAdapter[RolesIn] = adapter(RolesIn)
