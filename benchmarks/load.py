"""An HTTP/1.1 client that costs little: keep-alive connections, each with one request under way at a time.

Requests are whole byte strings made before the clock runs; answers are parsed by httptools on uvloop. One
request at a time costs this side 40-60 us of CPU, so it measures latency; for throughput there is wrk.py.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import cast

import httptools
import uvloop

ANSWER_S_MAX = 120.0


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back, and how many seconds after the first byte went out."""

    status: int
    body: bytes
    seconds: float


SUCCESS = range(200, 300)


class Unexpected(Exception):
    """An answer that was not asked for: a benchmark of errors measures nothing."""


def request(
    method: str, path: str, *, port: int, token: str | None = None, body: bytes | None = None, key: str = ""
) -> bytes:
    """Return a request as it goes out on the wire."""
    lines = [f"{method} {path} HTTP/1.1", f"Host: 127.0.0.1:{port}"]
    if token:
        lines.append(f"Authorization: Bearer {token}")
    if key:
        lines.append(f"Idempotency-Key: {key}")
    if body is not None:
        lines += ["Content-Type: application/json", f"Content-Length: {len(body)}"]
    return "\r\n".join([*lines, "", ""]).encode() + (body or b"")


class Connection(asyncio.Protocol):
    """One keep-alive connection; `exchange` sends a request and waits for its answer."""

    def __init__(self) -> None:
        self._transport: asyncio.Transport | None = None
        self._parser: httptools.HttpResponseParser | None = None
        self._pieces: list[bytes] = []
        self._waiting: asyncio.Future[tuple[int, bytes]] | None = None

    @classmethod
    async def open(cls, port: int) -> Connection:
        """Connect to a port of this machine."""
        _, connection = await asyncio.get_running_loop().create_connection(cls, "127.0.0.1", port)
        return connection

    @property
    def port(self) -> int:
        """The port of this side."""
        assert self._transport is not None
        port: int = self._transport.get_extra_info("sockname")[1]
        return port

    def close(self) -> None:
        """Hang up."""
        if self._transport is not None:
            self._transport.close()

    async def exchange(self, data: bytes, wanted: range = SUCCESS) -> Answer:
        """Send one request; raise Unexpected unless it is answered with a wanted status."""
        assert self._transport is not None
        self._parser = httptools.HttpResponseParser(self)
        self._pieces = []
        self._waiting = asyncio.get_running_loop().create_future()
        started = time.perf_counter()
        self._transport.write(data)
        status, body = await self._waiting
        seconds = time.perf_counter() - started
        if status not in wanted:
            raise Unexpected(f"{data.split(b' HTTP', 1)[0].decode()}: {status} {body[:300]!r}")
        return Answer(status, body, seconds)

    # ------------------------------------------------------------------------------ asyncio.Protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport."""
        # uvloop's transports are transports by what they do, not by their class.
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        """Feed the parser."""
        if self._parser is not None:
            self._parser.feed_data(data)

    def connection_lost(self, error: Exception | None) -> None:
        """Fail the request under way."""
        if self._waiting is not None and not self._waiting.done():
            self._waiting.set_exception(error or ConnectionResetError("the server hung up"))

    # ------------------------------------------------------------------------------ httptools

    def on_body(self, piece: bytes) -> None:
        """Keep a piece of the body."""
        self._pieces.append(piece)

    def on_message_complete(self) -> None:
        """Hand the answer over."""
        if self._parser is not None and self._waiting is not None and not self._waiting.done():
            self._waiting.set_result((self._parser.get_status_code(), b"".join(self._pieces)))


def one_by_one(port: int, requests: Sequence[bytes], wanted: range = SUCCESS) -> list[Answer]:
    """Send requests over one connection, each after the answer to the one before."""

    async def drive() -> list[Answer]:
        connection = await Connection.open(port)
        try:
            return [await connection.exchange(data, wanted) for data in requests]
        finally:
            connection.close()

    return uvloop.run(drive())


def interleaved(
    port: int, steps: Sequence[tuple[bytes, Sequence[bytes]]], wanted: range = SUCCESS
) -> list[list[Answer]]:
    """For each step, send one request over a connection and, after its answer, the others over another one,
    each after the answer to the one before; return the answers to these others."""

    async def drive() -> list[list[Answer]]:
        writer, reader = await Connection.open(port), await Connection.open(port)
        answers = []
        try:
            for first, others in steps:
                await writer.exchange(first, wanted)
                answers.append([await reader.exchange(data, wanted) for data in others])
        finally:
            writer.close()
            reader.close()
        return answers

    return uvloop.run(drive())


def side_by_side(port: int, requests: Sequence[bytes], connections: int) -> list[Answer]:
    """Send requests over several connections; answers come in the order of the requests."""

    async def drive() -> list[Answer]:
        answers: list[Answer | None] = [None] * len(requests)
        left = iter(range(len(requests)))

        async def drain() -> None:
            connection = await Connection.open(port)
            try:
                for index in left:
                    answers[index] = await connection.exchange(requests[index])
            finally:
                connection.close()

        async with asyncio.timeout(ANSWER_S_MAX):
            await asyncio.gather(*(drain() for _ in range(connections)))
        return [answer for answer in answers if answer is not None]

    return uvloop.run(drive())


def until(port: int, data: bytes, good: Callable[[bytes], bool], every_s: float, limit_s: float) -> None:
    """Ask the same again and again until the answer is good; raise TimeoutError after `limit_s` seconds."""

    async def drive() -> None:
        connection = await Connection.open(port)
        try:
            async with asyncio.timeout(limit_s):
                while not good((await connection.exchange(data)).body):
                    await asyncio.sleep(every_s)
        finally:
            connection.close()

    uvloop.run(drive())


def percentile(values: Sequence[float], share: float) -> float:
    """Return the value below which `share` of the values lie (nearest rank)."""
    ranked = sorted(values)
    return ranked[min(len(ranked) - 1, int(share * len(ranked)))]
