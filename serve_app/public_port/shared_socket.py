"""A replica's side of launcher/up/public_socket.py: the public socket, and signs of
life for whoever holds it."""

from __future__ import annotations

import asyncio
import contextlib
import socket

# Path of the Unix socket where the public socket is to be had; not set where no launcher holds one.
VARIABLE = "HELIX_PUBLIC_SOCKET"
ALIVE_EVERY_S = 0.5


def fetch(path: str) -> tuple[socket.socket, socket.socket]:
    """Return the listening socket, and the lifeline over which it came. Raises
    RuntimeError where there is none."""
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
    """Writes a byte from the event loop that serves requests, every ALIVE_EVERY_S:
    when it hangs, they stop."""

    def __init__(self, lifeline: socket.socket, loop: asyncio.AbstractEventLoop) -> None:
        self._lifeline = lifeline
        self._loop = loop
        self._next = loop.call_soon(self._write)

    def close(self) -> None:
        """Stop; the holder of the socket forgets this process."""
        self._next.cancel()
        self._lifeline.close()

    def _write(self) -> None:
        # Full: the holder is not reading at the moment, and will find what is there.
        with contextlib.suppress(BlockingIOError):
            try:
                self._lifeline.send(b".")
            except BrokenPipeError:
                return
        self._next = self._loop.call_later(ALIVE_EVERY_S, self._write)
