"""The master's end of the Unix socket for callers of its own host (helix_ray/plane/local_link.py).

Processes of other hosts call the same methods through Ray.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from helix_ray.plane.local_link import Frames
from helix_ray.socket_folders import SocketFolder

log = logging.getLogger(__name__)

Methods = Mapping[str, Callable[..., Awaitable[Any]]]
# Answers a call immediately, or returns None for a call that must wait.
AtOnce = Mapping[str, Callable[..., Any]]


class LocalServer:
    """The master's end: serves the given methods."""

    def __init__(self, methods: Methods, at_once: AtOnce | None = None) -> None:
        self._methods = methods
        self._at_once = at_once or {}
        self._opening = asyncio.Lock()
        self._folder: SocketFolder | None = None
        self._server: asyncio.AbstractServer | None = None
        self._connections: set[Frames] = set()
        self._answering: set[asyncio.Task[None]] = set()

    async def listen(self) -> str:
        """Open the socket at the first call; return its path."""
        # A second caller must not get the path before the socket exists: it would fall back to Ray.
        async with self._opening:
            if self._server is None:
                self._folder = SocketFolder("master")
                loop = asyncio.get_running_loop()
                self._server = await loop.create_unix_server(self._accept, self._path())
        return self._path()

    def close(self) -> None:
        """Close the socket and every connection."""
        if self._server is not None:
            self._server.close()
        for connection in list(self._connections):
            connection.close()
        if self._folder is not None:
            self._folder.remove()

    def _path(self) -> str:
        return f"{self._folder.path}/master.sock" if self._folder is not None else ""

    def _accept(self) -> Frames:
        connection = Frames(self._take, self._connections.discard)
        self._connections.add(connection)
        return connection

    def _take(self, connection: Frames, message: Any) -> None:
        number, method, arguments = message
        if self._answered_at_once(connection, number, method, arguments):
            return
        task = asyncio.get_running_loop().create_task(self._answer(connection, number, method, arguments))
        self._answering.add(task)
        task.add_done_callback(self._answering.discard)

    def _answered_at_once(
        self, connection: Frames, number: int, method: str, arguments: tuple[Any, ...]
    ) -> bool:
        answer_at_once = self._at_once.get(method)
        try:
            answer = None if answer_at_once is None else answer_at_once(*arguments)
            if answer is None:
                return False
            connection.send((number, True, answer))
        except Exception:
            # The slow path raises it again and reports it.
            return False
        return True

    async def _answer(self, connection: Frames, number: int, method: str, arguments: tuple[Any, ...]) -> None:
        try:
            answer = (number, True, await self._methods[method](*arguments))
        except Exception as error:
            log.exception("call to %s failed", method)
            answer = (number, False, repr(error))
        if connection.transport is None:
            return
        try:
            connection.send(answer)
        except Exception as error:
            # The answer cannot be pickled: the caller must get an error instead.
            log.exception("cannot send the answer to %s", method)
            connection.send((number, False, repr(error)))
