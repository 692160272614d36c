"""Logins and sessions in JSON."""

from __future__ import annotations

from typing import Annotated, NotRequired

from pydantic import Field, TypeAdapter, with_config
from typing_extensions import TypedDict

from helix_ray.core.usernames import USERNAME_CHARS_MAX
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
    sessions_ended: NotRequired[Annotated[list[SessionEnded], Field(description="Only when there are some.")]]


LOGIN: TypeAdapter[LoginIn] = adapter(LoginIn)
REFRESH: TypeAdapter[RefreshIn] = adapter(RefreshIn)
