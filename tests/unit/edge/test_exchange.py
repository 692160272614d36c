"""An answer as it goes out on the wire: in one piece where that can be, and never with a head
that says another thing."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest

from serve_app.public_port.exchange import JOINED_BYTES_MAX, BadAnswer, Exchange

START = "http.response.start"
BODY = "http.response.body"


class Wire:
    """A transport and its flow control, which keep what is written."""

    def __init__(self) -> None:
        self.written: list[bytes] = []
        self.closed = False
        self.write_paused = False

    def write(self, data: bytes) -> None:
        self.written.append(bytes(data))

    def close(self) -> None:
        self.closed = True

    def is_closing(self) -> bool:
        return self.closed

    def resume_reading(self) -> None: ...


def _exchange(wire: Any, method: str = "GET", *, keep_alive: bool = True) -> Exchange:
    return Exchange(
        {"type": "http", "method": method},
        wire,
        wire,
        headers=[(b"server", b"x")],
        waits_for_continue=False,
        keep_alive=keep_alive,
        on_response=lambda: None,
    )


def _begin(*headers: tuple[bytes, bytes], status: int = 200) -> dict[str, Any]:
    return {"type": START, "status": status, "headers": list(headers)}


def _body(data: bytes = b"", *, more: bool = False) -> dict[str, Any]:
    return {"type": BODY, "body": data, "more_body": more}


def _written(
    messages: Sequence[dict[str, Any]], method: str = "GET", *, keep_alive: bool = True
) -> list[bytes]:
    """Return the pieces that an answer is written in."""
    wire = Wire()
    exchange = _exchange(wire, method, keep_alive=keep_alive)

    async def send() -> None:
        for message in messages:
            await exchange.send(message)

    asyncio.run(send())
    assert exchange.response_complete == (not messages[-1].get("more_body", False))
    assert wire.closed == (exchange.response_complete and not exchange.keep_alive)
    return wire.written


@pytest.mark.parametrize(
    ("messages", "method", "pieces"),
    [
        (
            [_begin((b"content-length", b"2")), _body(b"ok")],
            "GET",
            [b"HTTP/1.1 200 OK\r\nserver: x\r\ncontent-length: 2\r\n\r\nok"],
        ),
        (
            [_begin((b"content-length", b"4")), _body(b"ab", more=True), _body(b"cd")],
            "GET",
            [b"HTTP/1.1 200 OK\r\nserver: x\r\ncontent-length: 4\r\n\r\nab", b"cd"],
        ),
        (
            [_begin(), _body(b"ab", more=True), _body(b"", more=True), _body()],
            "GET",
            [
                b"HTTP/1.1 200 OK\r\nserver: x\r\ntransfer-encoding: chunked\r\n\r\n",
                b"2\r\nab\r\n",
                b"0\r\n\r\n",
            ],
        ),
        ([_begin(status=204), _body()], "DELETE", [b"HTTP/1.1 204 No Content\r\nserver: x\r\n\r\n"]),
        (
            [_begin((b"content-length", b"2")), _body(b"ok")],
            "HEAD",
            [b"HTTP/1.1 200 OK\r\nserver: x\r\ncontent-length: 2\r\n\r\n"],
        ),
        (
            [_begin((b"content-length", b"0"), (b"connection", b"close")), _body()],
            "GET",
            [b"HTTP/1.1 200 OK\r\nserver: x\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"],
        ),
    ],
    ids=["short", "two-pieces", "stream", "no-content", "head", "close"],
)
def test_what_is_written(messages: list[dict[str, Any]], method: str, pieces: list[bytes]) -> None:
    """A head waits for a body whose length is known; a stream's is written at once, and
    its pieces as they come."""
    assert _written(messages, method) == pieces


def test_a_long_body_is_not_copied() -> None:
    """A body over JOINED_BYTES_MAX is written behind its head."""
    body = b"x" * (JOINED_BYTES_MAX + 1)
    head, written = _written([_begin((b"content-length", b"%d" % len(body))), _body(body)])
    assert head.endswith(b"\r\n\r\n")
    assert written == body


def test_a_connection_that_is_not_kept_says_so_and_is_closed() -> None:
    """An answer to a client that asked for it, or speaks HTTP/1.0, ends the connection."""
    [written] = _written([_begin((b"content-length", b"0")), _body()], keep_alive=False)
    assert b"\r\nconnection: close\r\n\r\n" in written


@pytest.mark.parametrize(
    "messages",
    [
        [_body(b"x")],
        [_begin(), _begin()],
        [_begin((b"content-length", b"1")), _body(b"xy")],
        [_begin((b"content-length", b"3")), _body(b"xy")],
        [_begin((b"content-length", b"0")), _body(), _body()],
        [_begin((b"x-a", b"1\r\nx-b: 2"))],
        [_begin((b"x-a", b"1\nx-b: 2"))],
        [_begin((b"x-a\r\nx-b", b"2"))],
        [_begin((b"x-a", b"\0"))],
        [_begin((b"x-a", b"\x7f"))],
    ],
    ids=["no-start", "two-starts", "longer", "shorter", "after-the-end", "crlf", "lf", "name", "nul", "del"],
)
def test_what_cannot_be_written(messages: list[dict[str, Any]]) -> None:
    """An answer whose head would be a lie, or that a header could split, is not written."""
    with pytest.raises(BadAnswer):
        _written(messages)


def test_an_application_that_leaves_an_answer_unfinished_ends_the_connection() -> None:
    """Neither an error nor half an answer leaves the client waiting."""

    async def raises(scope: Any, receive: Any, send: Any) -> None:
        raise RuntimeError("below the edge")

    async def half(scope: Any, receive: Any, send: Any) -> None:
        await send(_begin())

    for app in (raises, half):
        wire = Wire()
        asyncio.run(_exchange(wire).run(app))
        assert wire.closed


def test_a_refused_request_leaves_the_end_to_its_connection() -> None:
    """A body that was refused is still coming: to close on it would lose the client the answer."""

    async def reads(scope: Any, receive: Any, send: Any) -> None:
        assert await receive() == {"type": "http.disconnect"}

    wire = Wire()
    exchange = _exchange(wire)
    exchange.disconnected = True
    asyncio.run(exchange.run(reads))
    assert not wire.closed
