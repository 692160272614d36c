"""A proxy that breaks connections off in the middle of what the server sends, at a random byte."""

from __future__ import annotations

import random
import socket
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from urllib.parse import urlsplit

PIECE_BYTES = 4096
# Closing sends a reset instead of an end.
RESET = struct.pack("ii", 1, 0)


class CuttingProxy:
    """Forwards connections to a server, while `is_cutting` each until it has brought some bytes: less than
    `bytes_max`.

    `cuts` counts the connections that were broken off.
    """

    def __init__(self, url: str, listener: socket.socket, bytes_max: int, seed: int) -> None:
        parts = urlsplit(url)
        self.url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        self.cuts = 0
        self.is_cutting = True
        self._server = (parts.hostname, parts.port)
        self._listener = listener
        self._bytes_max = bytes_max
        self._random = random.Random(seed)

    def serve(self) -> None:
        """Forward one connection after the other, until the listener is closed."""
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._forward, args=(client,), daemon=True).start()

    def _forward(self, client: socket.socket) -> None:
        left = self._random.randrange(self._bytes_max)
        with client, socket.create_connection(self._server) as server:
            threading.Thread(target=_upwards, args=(client, server), daemon=True).start()
            with suppress(OSError):
                while piece := server.recv(PIECE_BYTES):
                    if self.is_cutting and len(piece) >= left:
                        client.sendall(piece[:left])
                        self.cuts += 1
                        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
                        break
                    client.sendall(piece)
                    left -= len(piece)
            # Wakes the other direction.
            for each in (client, server):
                with suppress(OSError):
                    each.shutdown(socket.SHUT_RD)


def _upwards(client: socket.socket, server: socket.socket) -> None:
    with suppress(OSError):
        while piece := client.recv(PIECE_BYTES):
            server.sendall(piece)


@contextmanager
def cutting(url: str, *, bytes_max: int, seed: int = 1) -> Iterator[CuttingProxy]:
    """Give a proxy of a server, for the time of the block."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        proxy = CuttingProxy(url, listener, bytes_max, seed)
        thread = threading.Thread(target=proxy.serve, daemon=True)
        thread.start()
        try:
            yield proxy
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            thread.join()
