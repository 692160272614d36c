"""Users in JSON."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, with_config
from typing_extensions import TypedDict

from helix_ray.core.access import ROLES
from helix_ray.core.usernames import USERNAME_CHARS_MAX, USERNAME_PATTERN
from helix_ray.wire.times import iso
from helix_ray.wire.values import STRICT, adapter

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


class UserBrief(BaseModel):
    """The user who is logged in."""

    model_config = ConfigDict(extra="forbid")

    id: str = Field(examples=["user-123"])
    username: str = Field(examples=["admin"])
    roles: list[str] = Field(examples=[["admin"]])


class UserOut(UserBrief):
    """A user without secrets."""

    created_at: str


class UsersOut(BaseModel):
    """All users."""

    model_config = ConfigDict(extra="forbid")

    users: list[UserOut]


def user_out(view: dict[str, Any]) -> dict[str, Any]:
    """Return a user's view, always without its password hash."""
    return {
        "id": view["id"],
        "username": view["username"],
        "roles": list(view["roles"]),
        "created_at": iso(view["created_at"]),
    }


PASSWORD = adapter(PasswordIn)
USER = adapter(UserIn)
ROLES_OF_USER = adapter(RolesIn)
