"""API tokens in JSON."""

from __future__ import annotations

from typing import Annotated, NotRequired

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, with_config
from typing_extensions import TypedDict

from helix_ray.core.decide.tokens import (
    TOKEN_NAME_CHARS_MAX,
    TOKEN_PREFIX,
    TOKEN_PROJECTS_MAX,
    TOKEN_TTL_S_MIN,
)
from helix_ray.core.views.tokens import TokenView
from helix_ray.wire.times import iso, iso_or_none
from helix_ray.wire.users import Roles
from helix_ray.wire.values import CLOSED, STRICT, ProjectId, adapter

USER_CHARS_MAX = 128


class TokensQuery(BaseModel):
    """The query of a listing of API tokens: their user, by id or name."""

    model_config = ConfigDict(extra="forbid")

    user: Annotated[str, Field(min_length=1, max_length=USER_CHARS_MAX)] | None = Field(
        None, description="Whose tokens: a user's name or id; others' are for administrators."
    )


@with_config(STRICT)
class TokenIn(TypedDict):
    """An API token to create. Without roles it has all of the user's; without projects it
    is not restricted to any."""

    name: Annotated[str, Field(min_length=1, max_length=TOKEN_NAME_CHARS_MAX, examples=["nightly build"])]
    roles: NotRequired[Roles]
    projects: NotRequired[
        Annotated[
            list[ProjectId],
            Field(min_length=1, max_length=TOKEN_PROJECTS_MAX),
        ]
    ]
    expires_in_s: NotRequired[Annotated[int, Field(ge=TOKEN_TTL_S_MIN)]]


@with_config(CLOSED)
class TokenOut(TypedDict):
    """An API token without its secret. `prefix` is its first characters."""

    id: Annotated[str, Field(examples=["token-123"])]
    name: str
    user: Annotated[str, Field(examples=["admin"])]
    prefix: Annotated[str, Field(examples=["helix_pat_a1B2"])]
    roles: list[str]
    projects: list[str] | None
    created_at: str
    expires_at: str
    last_used_at: str | None


@with_config(CLOSED)
class TokenMadeOut(TokenOut):
    """A created API token: the only answer that contains its secret."""

    token: str


@with_config(CLOSED)
class TokensOut(TypedDict):
    """API tokens, the oldest first."""

    tokens: list[TokenOut]


def token_out(view: TokenView) -> TokenOut:
    """Return an API token's view with ISO times."""
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


TOKEN: TypeAdapter[TokenIn] = adapter(TokenIn)
