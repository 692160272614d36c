"""One request and its response on a connection, in place of uvicorn's: a short response
is written in one piece.

uvicorn writes head and body with a system call each, and matches every header's name and value against two
patterns. Most responses declare their length, so that their body follows at once: the head waits for it. A
response without a length (a stream) has its head written at once.
"""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import Callable, Iterable
from http import HTTPStatus

from starlette.types import ASGIApp, Message, Scope

from serve_app.public_port.uvicorn_seams import FlowControl

log = logging.getLogger(__name__)

# A longer body is written after its head: joining them would copy it.
JOINED_BYTES_MAX = 64 * 1024

_FORBIDDEN_IN_HEAD = re.compile(rb"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")
_STATUS_LINES = {
    status.value: b"HTTP/1.1 %d %b\r\n" % (status.value, status.phrase.encode()) for status in HTTPStatus
}
_LENGTH = b"content-length"
_CODING = b"transfer-encoding"
_CONNECTION = b"connection"
# Responses with these have neither a body nor a length.
_WITHOUT_BODY = frozenset({204, 304})

Header = tuple[bytes, bytes]


class BadAnswer(RuntimeError):
    """The application's response cannot be written: a header contains a line break, or the
    body has another length."""


class Exchange:
    """The object that uvicorn's protocol expects for a request under way.

    Invariant: after `response_started`, `_head` is the part of the head that is not written yet.
    """

    __slots__ = (
        "_body_bytes_left", "_chunked", "_flow", "_head", "_headers", "_on_response", "_scope", "_transport",
        "_waits_for_continue", "body", "disconnected", "keep_alive", "message_event", "more_body",
        "response_complete", "response_started",
    )  # fmt: skip

    def __init__(
        self,
        scope: Scope,
        transport: asyncio.Transport,
        flow: FlowControl,
        *,
        headers: list[Header],
        waits_for_continue: bool,
        keep_alive: bool,
        on_response: Callable[[], None],
    ) -> None:
        """`headers` come first in the head; `waits_for_continue`: the client sends
        its body only when asked."""
        self._scope = scope
        self._transport = transport
        self._flow = flow
        self._headers = headers
        self._waits_for_continue = waits_for_continue
        self._on_response = on_response
        self._head = b""
        # None: no header has given a length or a coding yet.
        self._chunked: bool | None = None
        self._body_bytes_left = 0
        self.keep_alive = keep_alive
        self.message_event = asyncio.Event()
        self.body = bytearray()
        self.more_body = True
        self.disconnected = False
        self.response_started = False
        self.response_complete = False

    async def run(self, app: ASGIApp) -> None:
        """Run the application; an exception or an incomplete response closes the connection.

        Not after the connection itself ended the request (`disconnected`): its refusal
        must still reach the client.
        """
        try:
            await app(self._scope, self.receive, self.send)
        except Exception:
            log.exception("the application failed outside its own error handling")
        finally:
            if not self.response_complete and not self.disconnected:
                self._transport.close()
            self._on_response = _nothing

    async def receive(self) -> Message:
        """Wait for more of the body and return it, or a message that the client is gone."""
        if self._waits_for_continue and not self._transport.is_closing():
            self._transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
            self._waits_for_continue = False
        if not self.disconnected and not self.response_complete:
            self._flow.resume_reading()
            await self.message_event.wait()
            self.message_event.clear()
        if self.disconnected or self.response_complete:
            return {"type": "http.disconnect"}
        body, self.body = bytes(self.body), bytearray()
        return {"type": "http.request", "body": body, "more_body": self.more_body}

    async def send(self, message: Message) -> None:
        """Write an ASGI message of the application; raise BadAnswer for one that cannot be written."""
        if self._flow.write_paused and not self.disconnected:
            await self._flow.drain()
        if self.disconnected:
            return
        if not self.response_started:
            self._begin(message)
        elif not self.response_complete:
            self._go_on(message)
        else:
            raise BadAnswer(f"message {message['type']!r} after the end of the answer")

    def _begin(self, message: Message) -> None:
        if message["type"] != "http.response.start":
            raise BadAnswer(f"message {message['type']!r} before the answer was begun")
        status: int = message["status"]
        self._head = self._head_of(status, (*self._headers, *message.get("headers", ())))
        self.response_started = True
        self._waits_for_continue = False
        if self._chunked or status in _WITHOUT_BODY:
            self._write(b"")

    def _head_of(self, status: int, headers: Iterable[Header]) -> bytes:
        lines = [_STATUS_LINES[status]]
        closes = False
        for name, value in headers:
            lines.append(b"%b: %b\r\n" % (name, value))
            if name == _LENGTH and self._chunked is None:
                self._body_bytes_left = int(value)
                self._chunked = False
            elif name == _CODING and value.lower() == b"chunked":
                self._chunked = True
            elif name == _CONNECTION and value.lower() == b"close":
                self.keep_alive, closes = False, True
        if not self.keep_alive and not closes:
            lines.append(b"connection: close\r\n")
        if self._chunked is None and self._scope["method"] != "HEAD" and status not in _WITHOUT_BODY:
            self._chunked = True
            lines.append(b"transfer-encoding: chunked\r\n")
        head = b"".join(lines)
        if (
            head.count(b"\n") != len(lines)
            or head.count(b"\r") != len(lines)
            or _FORBIDDEN_IN_HEAD.search(head)
        ):
            raise BadAnswer("a header contains a control character")
        return head + b"\r\n"

    def _go_on(self, message: Message) -> None:
        if message["type"] != "http.response.body":
            raise BadAnswer(f"message {message['type']!r} inside the answer")
        body, more = message.get("body", b""), message.get("more_body", False)
        if self._scope["method"] == "HEAD":
            self._body_bytes_left, body = 0, b""
        elif self._chunked:
            body = _chunk(body, last=not more)
        else:
            self._body_bytes_left -= len(body)
            if self._body_bytes_left < 0 or (self._body_bytes_left and not more):
                raise BadAnswer("the body length does not match the Content-Length header")
        if body or self._head:
            self._write(body)
        if not more:
            self._complete()

    def _write(self, body: bytes) -> None:
        head, self._head = self._head, b""
        if head and len(body) > JOINED_BYTES_MAX:
            self._transport.write(head)
            head = b""
        self._transport.write(head + body if head else body)

    def _complete(self) -> None:
        self.response_complete = True
        self.message_event.set()
        if not self.keep_alive:
            self._transport.close()
        self._on_response()


def _nothing() -> None:
    """Replace a callback, so that it keeps nothing alive."""


def _chunk(body: bytes, *, last: bool) -> bytes:
    """Return a chunk of a body in chunked coding."""
    piece = b"%x\r\n%b\r\n" % (len(body), body) if body else b""
    return piece + b"0\r\n\r\n" if last else piece
