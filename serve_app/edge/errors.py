"""The last word on errors: whatever reaches the edge becomes an envelope, is logged
whole and shown as nothing."""

from __future__ import annotations

import logging

from starlette.types import Message, Scope, Send

from helix_ray.core.errors import ErrorCode, Rejected
from serve_app.edge.body_limit import CountedBody
from serve_app.edge.headers import Header
from serve_app.edge.security_headers import for_answer
from serve_app.problems import STATUS, answer_headers, envelope

log = logging.getLogger(__name__)

INTERNAL = Rejected(ErrorCode.INTERNAL_ERROR, "Internal server error")


class BrokenOff(Exception):
    """Ends an answer half-way on purpose: what its connection's end says to the client is all there is to say."""


class Answer:
    """The one `send` of a request: adds the edge's headers to whatever answer there is,
    and can refuse by itself."""

    __slots__ = ("_body", "_headers", "_path", "_send", "ended", "request_id", "started")

    def __init__(self, send: Send, path: str, request_id: str, body: CountedBody) -> None:
        self._send = send
        self._path = path
        self._body = body
        self._headers: list[Header] = [(b"x-request-id", request_id.encode())]
        self.request_id = request_id
        self.started = False
        self.ended = False

    def add(self, headers: list[Header]) -> None:
        """Put headers on the answer to come."""
        self._headers += headers

    async def send(self, message: Message) -> None:
        """The `send` that the application gets; its own words on a body over the limit are dropped."""
        kind = message["type"]
        if kind == "http.response.start":
            if self._body.over:
                return
            self.started = True
            own = message.get("headers") or ()
            message = {**message, "headers": [*own, *for_answer(self._path, own), *self._headers]}
        elif kind == "http.response.body":
            if not self.started:
                return
            self.ended = not message.get("more_body", False)
        await self._send(message)

    async def refuse(self, rejected: Rejected, headers: tuple[Header, ...] = ()) -> None:
        """Answer with the envelope instead of the application."""
        content = envelope(rejected, self.request_id)
        own = [
            (b"content-type", b"application/json"),
            (b"content-length", b"%d" % len(content)),
            *answer_headers(rejected),
            *headers,
        ]
        self.started = True
        start = {
            "type": "http.response.start",
            "status": STATUS[rejected.code],
            "headers": [*own, *for_answer(self._path, own), *self._headers],
        }
        await self._send(start)
        await self._send({"type": "http.response.body", "body": content})
        self.ended = True

    async def fail(self, error: Exception | None) -> None:
        """The application raised, or ended without an answer: log it, and answer if nothing was said yet.

        An answer that stopped half-way is raised again: only a broken connection tells the client
        that it is not whole.
        """
        log.error("request %s failed on %s", self.request_id, self._path, exc_info=error)
        if not self.started:
            await self.refuse(INTERNAL)
        elif not self.ended and error is not None:
            raise error


def as_denial(scope: Scope, send: Send) -> Send:
    """Let an HTTP answer refuse a WebSocket: as a denial response where the server
    can, else by closing (1008)."""
    can_answer = "websocket.http.response" in (scope.get("extensions") or {})

    async def send_denial(message: Message) -> None:
        if can_answer:
            await send({**message, "type": "websocket." + message["type"]})
        elif message["type"] == "http.response.start":
            await send({"type": "websocket.close", "code": 1008})

    return send_denial
