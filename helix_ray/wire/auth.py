"""Logins, sessions and users on the wire."""

from __future__ import annotations

from typing import Annotated, Any, NotRequired

from pydantic import BaseModel, ConfigDict, Field, with_config
from typing_extensions import TypedDict

from helix_ray.core.access import ROLES
from helix_ray.core.decide.tokens import (
    TOKEN_NAME_CHARS_MAX,
    TOKEN_PREFIX,
    TOKEN_PROJECTS_MAX,
    TOKEN_TTL_S_MIN,
)
from helix_ray.core.usernames import USERNAME_CHARS_MAX, USERNAME_PATTERN
from helix_ray.wire.times import iso, iso_or_none
from helix_ray.wire.values import STRICT, ProjectId, adapter, strict

# Longer than any password that is allowed; what is longer is refused before it is hashed.
PASSWORD_CHARS_MAX = 1_024
USER_CHARS_MAX = 128
REFRESH_CHARS_MAX = 128

Username = Annotated[str, Field(max_length=USERNAME_CHARS_MAX, pattern=USERNAME_PATTERN, examples=["admin"])]
Password = Annotated[str, Field(min_length=1, max_length=PASSWORD_CHARS_MAX)]


@with_config(strict(username="admin", password="your_password"))
class LoginIn(TypedDict):
    """A name and a password. Any text is taken as a name: one that cannot exist is
    answered like a wrong one."""

    username: Annotated[str, Field(min_length=1, max_length=USERNAME_CHARS_MAX)]
    password: Password


@with_config(STRICT)
class RefreshIn(TypedDict):
    """A refresh token; it works once."""

    refresh_token: Annotated[str, Field(min_length=1, max_length=REFRESH_CHARS_MAX)]


@with_config(STRICT)
class PasswordIn(TypedDict):
    """A change of one's own password."""

    current_password: Password
    new_password: Password


Roles = Annotated[
    list[Annotated[str, Field(min_length=1, max_length=64, json_schema_extra={"enum": [*ROLES]})]],
    Field(min_length=1, max_length=len(ROLES)),
]


@with_config(STRICT)
class UserIn(TypedDict):
    """A user to add."""

    username: Username
    password: Password
    roles: Roles


@with_config(STRICT)
class RolesIn(TypedDict):
    """What a user may do from now on."""

    roles: Roles


class TokensQuery(BaseModel):
    """The query of a listing of API tokens: whose, by id or name."""

    model_config = ConfigDict(extra="forbid")

    user: Annotated[str, Field(min_length=1, max_length=USER_CHARS_MAX)] | None = None


@with_config(STRICT)
class TokenIn(TypedDict):
    """An API token to make. No roles: all of one's own. No projects: not bound to any."""

    name: Annotated[str, Field(min_length=1, max_length=TOKEN_NAME_CHARS_MAX, examples=["nightly build"])]
    roles: NotRequired[Roles]
    projects: NotRequired[
        Annotated[
            list[ProjectId],
            Field(min_length=1, max_length=TOKEN_PROJECTS_MAX),
        ]
    ]
    expires_in_s: NotRequired[Annotated[int, Field(ge=TOKEN_TTL_S_MIN)]]


class UserBrief(BaseModel):
    """Who is logged in."""

    model_config = ConfigDict(extra="forbid")

    id: str = Field(examples=["user-123"])
    username: str = Field(examples=["admin"])
    roles: list[str] = Field(examples=[["admin"]])


class SessionEnded(BaseModel):
    """An older session of the user, ended by a login beyond the limit."""

    model_config = ConfigDict(extra="forbid")

    reason: str = Field(examples=["evicted"])
    opened_at: str


class LoginOut(BaseModel):
    """Tokens: one for requests, one to get the next ones with."""

    model_config = ConfigDict(extra="forbid")

    token: str
    expires_at: str
    refresh_token: str
    refresh_expires_at: str
    user: UserBrief
    sessions_ended: list[SessionEnded] = Field([], description="Only when there are some.")


class UserOut(UserBrief):
    """A user, without anything secret."""

    created_at: str


class UsersOut(BaseModel):
    """All users."""

    model_config = ConfigDict(extra="forbid")

    users: list[UserOut]


class TokenOut(BaseModel):
    """An API token, without its secret. `prefix` is what it begins with."""

    model_config = ConfigDict(extra="forbid")

    id: str = Field(examples=["token-123"])
    name: str
    user: str = Field(examples=["admin"])
    prefix: str = Field(examples=["helix_pat_a1B2"])
    roles: list[str]
    projects: list[str] | None
    created_at: str
    expires_at: str
    last_used_at: str | None


class TokenMadeOut(TokenOut):
    """An API token that was just made: the one time that it is shown whole."""

    token: str


class TokensOut(BaseModel):
    """API tokens, the oldest first."""

    model_config = ConfigDict(extra="forbid")

    tokens: list[TokenOut]


LOGIN = adapter(LoginIn)
REFRESH = adapter(RefreshIn)
PASSWORD = adapter(PasswordIn)
USER = adapter(UserIn)
TOKEN = adapter(TokenIn)
ROLES_OF_USER = adapter(RolesIn)


def user_out(view: dict[str, Any]) -> dict[str, Any]:
    """Return a user's view, without its password hash, whoever asked for it."""
    return {
        "id": view["id"],
        "username": view["username"],
        "roles": list(view["roles"]),
        "created_at": iso(view["created_at"]),
    }


def token_out(view: dict[str, Any]) -> dict[str, Any]:
    """Return an API token's view as it goes over the wire."""
    return {
        "id": view["id"],
        "name": view["name"],
        "user": view["user"],
        "prefix": TOKEN_PREFIX + view["shown"],
        "roles": view["roles"],
        "projects": view["projects"],
        "created_at": iso(view["created_at"]),
        "expires_at": iso(view["expires_at"]),
        "last_used_at": iso_or_none(view["last_used_at"]),
    }
