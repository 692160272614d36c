"""Accepts connections from a listening socket that other processes may share.

An event loop's own server accepts until the queue is empty, so the first of several replicas to wake up
would take all of a burst. The Acceptor takes one connection in each iteration of the loop: a busy replica
iterates slowly and takes fewer. After a few in a row, a replica that shares the socket pauses long enough
for the others to wake up.
"""

from __future__ import annotations

import asyncio
import errno
import itertools
import socket
import ssl
from collections.abc import Callable

# Limits for clients in the TLS handshake, which are not connections yet. Of too many the oldest are closed,
# so that clients that never finish cannot keep others out.
HANDSHAKE_S_MAX = 10.0
HANDSHAKES_MAX = 1024
TLS_CLOSE_S_MAX = 5.0
# Pause when file handles or memory run out: the socket stays readable, and the loop would spin.
EXHAUSTED = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})
EXHAUSTED_WAIT_S = 0.1
IN_A_ROW_MAX = 2
LET_OTHERS_S = 0.001


class Acceptor:
    """Starts when constructed, on the running event loop; close ends it, like an asyncio server.

    `tls` gives the context of each handshake. `shut` is called when any process has shut down the socket: no
    connection will come any more.
    """

    def __init__(
        self,
        listener: socket.socket,
        make: Callable[[], asyncio.Protocol],
        tls: Callable[[], ssl.SSLContext] | None,
        *,
        shared: bool,
        shut: Callable[[], None],
    ) -> None:
        self._listener = listener
        self._make = make
        self._tls = tls
        self._shared = shared
        self._shut = shut
        self._in_a_row = 0
        self._loop = asyncio.get_running_loop()
        # In order of their start.
        self._opening: dict[asyncio.Task[None], None] = {}
        self._paused: asyncio.TimerHandle | None = None
        listener.setblocking(False)
        self._open = True
        self._resume()

    def close(self) -> None:
        """Stop accepting; accepted connections stay."""
        if self._open:
            self._open = False
            self._loop.remove_reader(self._listener.fileno())
            if self._paused is not None:
                self._paused.cancel()

    async def wait_closed(self) -> None:
        """Wait for handshakes that are under way."""
        await asyncio.gather(*self._opening, return_exceptions=True)

    def _resume(self) -> None:
        self._in_a_row = 0
        if self._open:
            self._loop.add_reader(self._listener.fileno(), self._accept_one)

    def _pause(self, wait_s: float) -> None:
        self._loop.remove_reader(self._listener.fileno())
        self._paused = self._loop.call_later(wait_s, self._resume)

    def _accept_one(self) -> None:
        try:
            client, _ = self._listener.accept()
        except (BlockingIOError, InterruptedError, ConnectionAbortedError):
            return  # another replica was faster, or the client has gone
        except OSError as error:
            if error.errno == errno.EINVAL:
                # The launcher has shut the socket down.
                self.close()
                self._shut()
            elif error.errno in EXHAUSTED:
                self._drop_handshakes(len(self._opening) // 2)
                self._pause(EXHAUSTED_WAIT_S)
            else:
                raise
            return
        self._in_a_row += 1
        if self._shared and self._in_a_row >= IN_A_ROW_MAX:
            self._pause(LET_OTHERS_S)
        if len(self._opening) >= HANDSHAKES_MAX:
            self._drop_handshakes(1)
        client.setblocking(False)
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        task = self._loop.create_task(self._begin(client))
        self._opening[task] = None
        task.add_done_callback(lambda done: self._begun(done, client))

    def _begun(self, task: asyncio.Task[None], client: socket.socket) -> None:
        self._opening.pop(task, None)
        # Cancelled, perhaps before its first step: then nothing else has the socket.
        if task.cancelled():
            client.close()

    def _drop_handshakes(self, count: int) -> None:
        for oldest in list(itertools.islice(self._opening, count)):
            del self._opening[oldest]
            oldest.cancel()

    async def _begin(self, client: socket.socket) -> None:
        times = (
            {"ssl_handshake_timeout": HANDSHAKE_S_MAX, "ssl_shutdown_timeout": TLS_CLOSE_S_MAX}
            if self._tls is not None
            else {}
        )
        tls = self._tls() if self._tls is not None else None
        try:
            await self._loop.connect_accepted_socket(self._make, client, ssl=tls, **times)
        except (OSError, ssl.SSLError):
            client.close()  # not TLS, too slow, or gone
