"""Logins and sessions in JSON."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, with_config
from typing_extensions import TypedDict

from helix_ray.core.usernames import USERNAME_CHARS_MAX
from helix_ray.wire.users import Password, UserBrief
from helix_ray.wire.values import STRICT, adapter, strict

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


class SessionEnded(BaseModel):
    """An older session of the user, ended by a login beyond the limit."""

    model_config = ConfigDict(extra="forbid")

    reason: str = Field(examples=["evicted"])
    opened_at: str


class LoginOut(BaseModel):
    """The tokens of a session: one for requests, one for the next refresh."""

    model_config = ConfigDict(extra="forbid")

    token: str
    expires_at: str
    refresh_token: str
    refresh_expires_at: str
    user: UserBrief
    sessions_ended: list[SessionEnded] = Field([], description="Only when there are some.")


LOGIN = adapter(LoginIn)
REFRESH = adapter(RefreshIn)
