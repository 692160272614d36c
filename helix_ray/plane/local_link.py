"""Calls to the master from processes of its own host, over a Unix socket: ten times cheaper than a Ray call.

The socket is in a folder that only this user can enter, and each end asks the kernel for the user of the
other, so pickles come from our own processes only. A frame is a little-endian u32 length and a pickle. The
master's end is actors/local_server.py.
"""

from __future__ import annotations

import asyncio
import itertools
import os
import pickle
import socket
import struct
from collections.abc import Callable
from functools import partial
from typing import Any, cast

from helix_ray.plane.links import CallFailed, LinkLost

HEADER = struct.Struct("<I")
PEER = struct.Struct("3i")  # pid, uid, gid: SO_PEERCRED in unix(7)


class Frames(asyncio.Protocol):
    """Sends and receives pickled messages over the stream."""

    def __init__(self, take: Callable[[Frames, Any], None], lost: Callable[[Frames], None]) -> None:
        self._take = take
        self._lost = lost
        self._buffer = bytearray()
        self.transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transports do not inherit from asyncio.Transport.
        connected = cast(asyncio.Transport, transport)
        if _peer_uid(connected) != os.geteuid():
            connected.abort()
            return
        self.transport = connected

    def data_received(self, data: bytes) -> None:
        buffer = self._buffer
        buffer += data
        start = 0
        while len(buffer) - start >= HEADER.size:
            (length,) = HEADER.unpack_from(buffer, start)
            end = start + HEADER.size + length
            if end > len(buffer):
                break
            with memoryview(buffer) as view:
                message = pickle.loads(view[start + HEADER.size : end])
            start = end
            self._take(self, message)
        del buffer[:start]

    def connection_lost(self, exc: Exception | None) -> None:
        self.transport = None
        self._lost(self)

    def send(self, message: Any) -> None:
        """Send a message; raises LinkLost when the connection is gone."""
        if self.transport is None:
            raise LinkLost("the connection is closed")
        body = pickle.dumps(message, protocol=5)
        self.transport.write(HEADER.pack(len(body)) + body)

    def close(self) -> None:
        """Close the connection; safe to call twice."""
        if self.transport is not None:
            self.transport.close()


def _peer_uid(transport: asyncio.Transport) -> int:
    # A transport's socket object has little more than a file descriptor.
    with socket.socket(fileno=os.dup(transport.get_extra_info("socket").fileno())) as peer:
        _, uid, _ = PEER.unpack(peer.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, PEER.size))
    return int(uid)


# Takes the outcome of a call: True and the response, or False and the error.
Take = Callable[[bool, Any], None]


class LocalLink:
    """A caller's end; `board` is the path of the master's read board
    (helix_ray/plane/read_board.py), or None."""

    def __init__(self) -> None:
        self.board: str | None = None
        self._numbers = itertools.count()
        self._waiting: dict[int, Take] = {}
        self._connection: Frames | None = None

    @classmethod
    async def connect(cls, path: str) -> LocalLink:
        """Connect to a master's socket; raises OSError where it cannot be reached from here."""
        link = cls()
        loop = asyncio.get_running_loop()
        _, connection = await loop.create_unix_connection(lambda: Frames(link._take, link._lost), path)
        link._connection = connection
        return link

    async def call(self, method: str, *arguments: Any) -> Any:
        """Call a method of the master. Raises LinkLost, or CallFailed when the method raised."""
        future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        number = self.begin(method, arguments, partial(_resolve, future))
        try:
            return await future
        finally:
            self.forget(number)

    def begin(self, method: str, arguments: tuple[Any, ...], take: Take) -> int:
        """Send a call and return its number at once. Raises LinkLost, or pickle's errors.

        `take` is called with the outcome; an error is the one that `call` would raise.
        """
        if self._connection is None:
            raise LinkLost("the connection is closed")
        number = next(self._numbers)
        self._connection.send((number, method, arguments))
        self._waiting[number] = take
        return number

    def forget(self, number: int) -> None:
        """Ignore the response to a call."""
        self._waiting.pop(number, None)

    def close(self) -> None:
        """Close the connection; safe to call twice."""
        if self._connection is not None:
            self._connection.close()

    def _take(self, connection: Frames, message: Any) -> None:
        number, done, answer = message
        take = self._waiting.pop(number, None)
        if take is not None:
            take(done, answer if done else CallFailed(answer))

    def _lost(self, connection: Frames) -> None:
        self._connection = None
        waiting, self._waiting = self._waiting, {}
        for take in waiting.values():
            take(False, LinkLost("the master is gone"))


def _resolve(future: asyncio.Future[Any], done: bool, answer: Any) -> None:
    if future.done():
        return
    if done:
        future.set_result(answer)
    else:
        future.set_exception(answer)
