"""Facts about sessions."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar


@dataclass(slots=True)
class SessionOpened:
    """A user logged in. `expires_at` in epoch seconds; `address` only in journals
    whose headers have no origin."""

    secret_fields: ClassVar[tuple[str, ...]] = ("refresh_hash",)

    id: str
    user_id: str
    refresh_hash: str
    expires_at: float
    address: str = ""


@dataclass(slots=True)
class SessionRefreshed:
    """A refresh token was exchanged for another."""

    secret_fields: ClassVar[tuple[str, ...]] = ("refresh_hash",)

    id: str
    refresh_hash: str
    expires_at: float


@dataclass(slots=True)
class SessionClosed:
    """A session ended, and why: the reasons are those of core/ended.py."""

    id: str
    reason: str
