"""Limits the size of request bodies by path, with or without a Content-Length."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field

from starlette.types import Message, Receive

from helix_ray.core.errors import ErrorCode, Rejected

BODY_BYTES_MAX = 1024 * 1024
BATCH_BODY_BYTES_MAX = 8 * 1024 * 1024
BODY_BYTES_MAX_BY_PATH: Mapping[str, int] = {"/api/v1/tasks/batch": BATCH_BODY_BYTES_MAX}
# A refused body up to this size is read and dropped: if the socket closed while the client sends, the client
# would not see the answer.
DRAINED_BYTES_MAX = 8 * 1024 * 1024
DRAIN_S_MAX = 5.0


class BodyTooLarge(Exception):
    """Ends the application's reading of a body over the limit; the edge answers instead."""


@dataclass(frozen=True, slots=True)
class BodyLimit:
    """The limit of all paths, and limits of single paths."""

    body_bytes_max: int = BODY_BYTES_MAX
    by_path: Mapping[str, int] = field(default_factory=lambda: BODY_BYTES_MAX_BY_PATH)

    def at(self, path: str) -> int:
        """Return the limit of a path, in bytes."""
        return self.by_path.get(path, self.body_bytes_max)


class CountedBody:
    """One request's body: counts the bytes that the application reads, and stops at the limit."""

    __slots__ = ("_receive", "body_bytes", "body_bytes_max", "declared", "ended", "over")

    def __init__(self, receive: Receive, body_bytes_max: int, content_length: bytes | None) -> None:
        self._receive = receive
        self.body_bytes_max = body_bytes_max
        self.body_bytes = 0
        self.declared = _to_size(content_length)
        self.over = self.declared > body_bytes_max
        self.ended = False

    async def receive(self) -> Message:
        """Receive a message for the application; raise BodyTooLarge over the limit."""
        message = await self._next()
        if self.body_bytes > self.body_bytes_max:
            self.over = True
            raise BodyTooLarge
        return message

    async def drain(self, *, client_waits: bool) -> bool:
        """Read and drop the rest, up to a bound; say whether the connection can be kept.

        client_waits: the client sent `Expect: 100-continue`, so its body does not come until it is asked for.
        """
        if client_waits or self.declared > DRAINED_BYTES_MAX:
            return False
        try:
            async with asyncio.timeout(DRAIN_S_MAX):
                while not self.ended and self.body_bytes <= DRAINED_BYTES_MAX:
                    await self._next()
        except TimeoutError:
            return False
        return self.ended

    def refusal(self) -> Rejected:
        """Return the refusal of a body over the limit."""
        return Rejected(
            ErrorCode.PAYLOAD_TOO_LARGE, "Request body is too large", {"body_bytes_max": self.body_bytes_max}
        )

    async def _next(self) -> Message:
        message = await self._receive()
        if message["type"] == "http.request":
            self.body_bytes += len(message.get("body", b""))
            self.ended = not message.get("more_body", False)
        else:
            self.ended = True
        return message


def _to_size(content_length: bytes | None) -> int:
    """Parse a Content-Length. The server refuses one that is not a number, and the body is counted anyway."""
    return int(content_length) if content_length is not None and content_length.isdigit() else 0
