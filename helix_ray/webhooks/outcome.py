"""How a request to a receiver ended."""

from __future__ import annotations

from typing import NamedTuple, Protocol


class PostOutcome(NamedTuple):
    """How one request ended. `failure` is its class, None for a success; `body` is the beginning of the
    response, `address` where it was sent."""

    status: int | None
    failure: str | None
    reason: str
    headers: tuple[tuple[str, str], ...]
    body: bytes
    seconds: float
    address: str | None
    retry_after_s: float | None


class Post(Protocol):
    """Sends one request."""

    async def __call__(
        self, url: str, body: bytes, headers: dict[str, str], *, timeout_s: float, ca: str | None = None
    ) -> PostOutcome:
        """Return how it ended; never raises for failures of the network."""
        ...
