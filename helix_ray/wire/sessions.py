"""Logins and sessions in JSON."""

from __future__ import annotations

from typing import Annotated, NotRequired

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, with_config
from typing_extensions import TypedDict

from helix_ray.core.usernames import USERNAME_CHARS_MAX
from helix_ray.core.views.sessions import SessionLineView
from helix_ray.wire.times import iso
from helix_ray.wire.users import Password, UserBrief
from helix_ray.wire.values import CLOSED, STRICT, adapter, strict

REFRESH_CHARS_MAX = 128


@with_config(strict(username="admin", password="your_password"))
class LoginIn(TypedDict):
    """A name and a password. Any text is accepted as a name: an impossible name is
    answered like a wrong one."""

    username: Annotated[str, Field(min_length=1, max_length=USERNAME_CHARS_MAX)]
    password: Password


@with_config(STRICT)
class RefreshIn(TypedDict):
    """A refresh token; it works once."""

    refresh_token: Annotated[str, Field(min_length=1, max_length=REFRESH_CHARS_MAX)]


@with_config(CLOSED)
class SessionEnded(TypedDict):
    """An older session of the user, ended by a login beyond the limit."""

    reason: Annotated[str, Field(examples=["evicted"])]
    opened_at: str


@with_config(CLOSED)
class LoginOut(TypedDict):
    """The tokens of a session: one for requests, one for the next refresh."""

    token: str
    expires_at: str
    refresh_token: str
    refresh_expires_at: str
    user: UserBrief
    sessions_ended: NotRequired[list[SessionEnded]]


class SessionsQuery(BaseModel):
    """The query about sessions: their user, by name."""

    model_config = ConfigDict(extra="forbid")

    user: Annotated[str, Field(min_length=1, max_length=USERNAME_CHARS_MAX)] | None = Field(
        None,
        description="Whose sessions: a user's name, by default one's own; others' are for administrators.",
    )


@with_config(CLOSED)
class SessionOut(TypedDict):
    """An open session. `last_used_at` is to within a second; of the time before the last start of the server,
    when it last got new tokens. `current`: this request was made with it."""

    id: Annotated[str, Field(examples=["session-123"])]
    user: Annotated[str, Field(examples=["admin"])]
    address: str
    user_agent: str
    opened_at: str
    last_used_at: str
    expires_at: str
    current: bool


@with_config(CLOSED)
class SessionsOut(TypedDict):
    """Open sessions, the oldest first."""

    sessions: list[SessionOut]


@with_config(CLOSED)
class SessionsEndedOut(TypedDict):
    """How many sessions were ended."""

    ended: int


def session_out(view: SessionLineView, current: str | None) -> SessionOut:
    """Return a session's view with ISO times."""
    return {
        "id": view["id"],
        "user": view["user"],
        "address": view["address"],
        "user_agent": view["user_agent"],
        "opened_at": iso(view["opened_at"]),
        "last_used_at": iso(view["last_used_at"]),
        "expires_at": iso(view["expires_at"]),
        "current": view["id"] == current,
    }


LOGIN: TypeAdapter[LoginIn] = adapter(LoginIn)
REFRESH: TypeAdapter[RefreshIn] = adapter(RefreshIn)
