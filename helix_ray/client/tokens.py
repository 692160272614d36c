"""Tokens of a session, and where they are stored. A refresh token works once, so it
is exchanged under a lock."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from threading import Lock
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from helix_ray.wire.sessions import LoginOut


@dataclass(frozen=True, slots=True)
class SessionTokens:
    """The tokens of a login. `expires_at` is ISO 8601; both refresh fields are None for a bare token."""

    token: str = field(repr=False)
    expires_at: str | None = None
    refresh_token: str | None = field(default=None, repr=False)
    refresh_expires_at: str | None = None

    @classmethod
    def from_answer(cls, answer: LoginOut) -> SessionTokens:
        """Return the tokens in the answer to a login or refresh."""
        return cls(
            answer["token"],
            answer.get("expires_at"),
            answer.get("refresh_token"),
            answer.get("refresh_expires_at"),
        )

    def stale(self, now: float, margin_s: float) -> bool:
        """Say whether the token expires within `margin_s` of `now` (epoch seconds)."""
        return self.expires_at is not None and epoch(self.expires_at) - now < margin_s


class TokenStore(Protocol):
    """Stores the tokens of one session."""

    def load(self) -> SessionTokens | None:
        """Return the tokens, or None when nobody is logged in."""
        ...

    def save(self, tokens: SessionTokens | None) -> None:
        """Store tokens; None deletes them."""
        ...

    def exchange(
        self, stale: SessionTokens, refresh: Callable[[SessionTokens], SessionTokens]
    ) -> SessionTokens:
        """Refresh stale tokens, only once even if many ask: later callers get the first one's result."""
        ...


class MemoryTokens:
    """Stores tokens in memory, as long as the client exists."""

    def __init__(self, tokens: SessionTokens | None = None) -> None:
        self._tokens = tokens
        self._lock = Lock()

    def load(self) -> SessionTokens | None:
        """Return the tokens, or None."""
        return self._tokens

    def save(self, tokens: SessionTokens | None) -> None:
        """Store tokens."""
        self._tokens = tokens

    def exchange(
        self, stale: SessionTokens, refresh: Callable[[SessionTokens], SessionTokens]
    ) -> SessionTokens:
        """Refresh stale tokens, only once even if many threads ask."""
        with self._lock:
            if self._tokens is None or self._tokens == stale:
                self._tokens = refresh(stale)
            return self._tokens


def epoch(text: str) -> float:
    """Return the epoch seconds of an ISO 8601 time with a zone."""
    return datetime.fromisoformat(text).timestamp()
