"""Orders about sessions. They contain only hashes of refresh tokens."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, NotRequired, TypedDict, final

from helix_ray.core.access import EVERYBODY, SYSTEM_ONLY, Tokens
from helix_ray.core.orders.kind import NoData, OrderKind


class OpenedData(TypedDict):
    """The session, and when the sessions were opened (epoch seconds) that ended because of the limit."""

    session_id: str
    evicted: NotRequired[list[float]]


@final
class RefreshedData(TypedDict):
    """The session and its user after a refresh; times are epoch seconds."""

    session_id: str
    user_id: str
    username: str
    roles: list[str]
    next_hash: str
    refreshed_at: float
    expires_at: float


@final
class ReusedData(TypedDict):
    """Why a session was ended instead: its refresh token was used twice."""

    refused: Literal[True]
    reason: str
    ended_at: str


class SessionsEndedData(TypedDict):
    """How many sessions were ended."""

    ended: int


@dataclass(frozen=True, slots=True)
class OpenSession(OrderKind[OpenedData]):
    """A login that succeeded. `refresh_hash` is the SHA-256 of the refresh token, hex."""

    allowed = SYSTEM_ONLY
    secret_fields = ("refresh_hash",)
    needs_key = True
    vital = True

    user_id: str
    session_id: str
    refresh_hash: str
    expires_at: float


@dataclass(frozen=True, slots=True)
class RefreshSession(OrderKind[RefreshedData | ReusedData]):
    """Exchange a refresh token; one that was used before closes the session."""

    allowed = SYSTEM_ONLY
    secret_fields = ("refresh_hash", "next_hash")
    needs_key = True
    vital = True

    refresh_hash: str
    next_hash: str
    expires_at: float


@dataclass(frozen=True, slots=True)
class CloseSession(OrderKind[NoData]):
    """Log out."""

    allowed = EVERYBODY
    tokens = Tokens.NONE
    needs_key = True
    vital = True

    session_id: str


@dataclass(frozen=True, slots=True)
class EndSessions(OrderKind[SessionsEndedData]):
    """End one session, or all of a user: one's own, or any as an administrator. Without `session_id` and
    `username` all of one's own."""

    allowed = EVERYBODY
    tokens = Tokens.NONE
    needs_key = True
    vital = True

    session_id: str | None = None
    username: str | None = None
