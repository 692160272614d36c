"""A replica's side of launcher/up/public_socket.py: gets the public socket and sends signs of life."""

from __future__ import annotations

import asyncio
import contextlib
import socket

# Path of the Unix socket that hands out the public socket; not set without a launcher.
VARIABLE = "HELIX_PUBLIC_SOCKET"
ALIVE_EVERY_S = 0.5


def fetch(path: str) -> tuple[socket.socket, socket.socket]:
    """Return the listening socket, and the lifeline over which it came. Raises
    RuntimeError where none came."""
    lifeline = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        lifeline.connect(path)
        _, handles, _, _ = socket.recv_fds(lifeline, 1, 1)
        listener = socket.socket(fileno=handles[0])
    except (OSError, IndexError) as error:
        lifeline.close()
        raise RuntimeError(f"cannot get the public socket at {path}: {error}") from error
    for one in (listener, lifeline):
        one.setblocking(False)
    return listener, lifeline


class SignsOfLife:
    """Writes a byte from the serving event loop every ALIVE_EVERY_S, so that silence means a hanging loop."""

    def __init__(self, lifeline: socket.socket, loop: asyncio.AbstractEventLoop) -> None:
        self._lifeline = lifeline
        self._loop = loop
        self._next = loop.call_soon(self._write)

    def close(self) -> None:
        """Stop; the launcher forgets this process."""
        self._next.cancel()
        self._lifeline.close()

    def _write(self) -> None:
        # The buffer is full: the launcher is not reading at the moment, and will find these bytes later.
        with contextlib.suppress(BlockingIOError):
            try:
                self._lifeline.send(b".")
            except BrokenPipeError:
                return
        self._next = self._loop.call_later(ALIVE_EVERY_S, self._write)
