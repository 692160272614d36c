"""The last error handler: an exception that reaches the edge is logged in full, and
answered without details."""

from __future__ import annotations

import logging
import time

from starlette.types import Message, Scope, Send

from helix_ray.core.errors import ErrorCode, Rejected
from serve_app.edge.body_limit import CountedBody
from serve_app.edge.headers import Header
from serve_app.edge.security_headers import for_answer
from serve_app.problems import STATUS, answer_headers, envelope

log = logging.getLogger(__name__)

INTERNAL = Rejected(ErrorCode.INTERNAL_ERROR, "Internal server error")


class BrokenOff(Exception):
    """Raised by a route to break off its answer: the client sees the connection end."""


class Answer:
    """The `send` of one request: adds the edge's headers to any response, and can send a refusal itself."""

    __slots__ = (
        "_body", "_headers", "_path", "_scheme", "_send", "ended", "request_id", "started", "started_at",
        "status",
    )  # fmt: skip

    def __init__(
        self, send: Send, path: str, request_id: str, body: CountedBody, scheme: str | None = None
    ) -> None:
        self._send = send
        self._path = path
        self._scheme = scheme
        self._body = body
        self._headers: list[Header] = [(b"x-request-id", request_id.encode())]
        self.request_id = request_id
        self.started = False
        self.ended = False
        # When the response began, by time.monotonic, and its status; 0 before.
        self.started_at: float | None = None
        self.status = 0

    def add(self, headers: list[Header]) -> None:
        """Add headers to the response."""
        self._headers += headers

    async def send(self, message: Message) -> None:
        """Send a message of the application; its response to a body over the limit is dropped."""
        kind = message["type"]
        if kind == "http.response.start":
            if self._body.over:
                return
            self.started, self.started_at, self.status = True, time.monotonic(), message["status"]
            own = message.get("headers") or ()
            message = {
                **message,
                "headers": [*own, *for_answer(self._path, own, self._scheme), *self._headers],
            }
        elif kind == "http.response.body":
            if not self.started:
                return
            self.ended = not message.get("more_body", False)
        await self._send(message)

    async def refuse(self, rejected: Rejected, headers: tuple[Header, ...] = ()) -> None:
        """Send a refusal in place of the application's response."""
        content = envelope(rejected, self.request_id)
        own = [
            (b"content-type", b"application/json"),
            (b"content-length", b"%d" % len(content)),
            *answer_headers(rejected),
            *headers,
        ]
        self.started, self.started_at, self.status = True, time.monotonic(), STATUS[rejected.code]
        start = {
            "type": "http.response.start",
            "status": self.status,
            "headers": [*own, *for_answer(self._path, own, self._scheme), *self._headers],
        }
        await self._send(start)
        await self._send({"type": "http.response.body", "body": content})
        self.ended = True

    async def fail(self, error: Exception | None) -> None:
        """Handle an application that raised or did not respond: log it, and respond if nothing was sent yet.

        Where the response had begun, the exception is raised again: only a broken connection tells the client
        that the response is incomplete.
        """
        log.error("request %s failed on %s", self.request_id, self._path, exc_info=error)
        if not self.started:
            await self.refuse(INTERNAL)
        elif not self.ended and error is not None:
            raise error


def as_denial(scope: Scope, send: Send) -> Send:
    """Refuse a WebSocket with an HTTP response, where the server supports it, else by closing (1008)."""
    can_answer = "websocket.http.response" in (scope.get("extensions") or {})

    async def send_denial(message: Message) -> None:
        if can_answer:
            await send({**message, "type": "websocket." + message["type"]})
        elif message["type"] == "http.response.start":
            await send({"type": "websocket.close", "code": 1008})

    return send_denial
