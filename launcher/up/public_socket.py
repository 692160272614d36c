"""The public port: one listening socket, held here, that every API replica of this machine accepts from.

A replica asks for the socket over a Unix socket when it begins to listen, and keeps that connection as its
lifeline: it writes a byte from its event loop every half second. Because the socket itself stays here, new
connections wait in the kernel's queue when a replica dies and are accepted by another, or by its successor. A
replica that is silent for SILENT_S_MAX is killed, so that clients which it accepted do not wait for ever.

At the end (`withdraw`) the socket is shut down: no connection is accepted any more, and each replica ends,
and its lifeline with it, when it has answered the requests under way.

It listens from the start, so that no other process can take the port; early connections wait for the first
replica.
"""

from __future__ import annotations

import contextlib
import os
import selectors
import signal
import socket
import struct
import threading
import time
from dataclasses import dataclass
from pathlib import Path

from launcher.up.saying import say

BACKLOG = 2048
SILENT_S_MAX = 4.0
LOOK_EVERY_S = 0.5
# After a pause of this process itself (a frozen container, a stopped job) the silence of replicas does not
# count.
LATE_S_MAX = 1.5
_CREDENTIALS = struct.Struct("3i")  # pid, uid, gid: ucred of SO_PEERCRED


@dataclass
class Lifeline:
    """A replica's process, and when its last sign of life came (monotonic seconds)."""

    pid: int
    heard_at: float


class PublicSocket:
    """Listens when constructed. Raises OSError where it cannot."""

    def __init__(self, host: str, port: int) -> None:
        family, kind, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        self._public = socket.socket(family, kind)
        self._public.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            self._public.bind(address)
            # A socket that is only bound does not reserve the port: another one may bind it as well.
            self._public.listen(BACKLOG)
        except OSError:
            self._public.close()
            raise
        self._selector = selectors.DefaultSelector()
        self._lifelines: dict[socket.socket, Lifeline] = {}
        self._withdrawn = False
        self._alone = threading.Event()
        self._alone.set()

    @property
    def port(self) -> int:
        """Return the port; the kernel's choice where port 0 was requested."""
        number: int = self._public.getsockname()[1]
        return number

    def close(self) -> None:
        """Close the socket in this process."""
        self._public.close()

    def withdraw(self, wait_s: float) -> None:
        """Accept no more connections, and wait until the replicas have answered all requests, up to the
        timeout."""
        self._withdrawn = True
        # shutdown affects the socket in all processes; close would only affect this one.
        with contextlib.suppress(OSError):
            self._public.shutdown(socket.SHUT_RDWR)
        self._alone.wait(wait_s)

    def hand_out(self, path: Path) -> None:
        """Hand the socket to replicas at `path`, in a private folder, from a daemon thread."""
        door = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        door.bind(str(path))
        door.listen()
        door.setblocking(False)
        self._selector.register(door, selectors.EVENT_READ)
        threading.Thread(target=self._look_for_ever, args=(door,), daemon=True).start()

    def _look_for_ever(self, door: socket.socket) -> None:
        looked_at = time.monotonic()
        while True:
            for key, _ in self._selector.select(LOOK_EVERY_S):
                if key.fileobj is door:
                    with contextlib.suppress(OSError):
                        self._welcome(door.accept()[0])
                else:
                    self._hear(key.fileobj)  # type: ignore[arg-type]  # only sockets are registered
            now = time.monotonic()
            if now - looked_at > LATE_S_MAX:
                for line in self._lifelines.values():
                    line.heard_at = now
            looked_at = now
            self._end_silent(now)

    def _welcome(self, peer: socket.socket) -> None:
        pid, uid, _ = _CREDENTIALS.unpack(
            peer.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
        )
        if uid != os.getuid() or self._withdrawn:
            peer.close()
            return
        peer.setblocking(False)
        socket.send_fds(peer, [b"."], [self._public.fileno()])
        self._lifelines[peer] = Lifeline(pid, time.monotonic())
        self._alone.clear()
        self._selector.register(peer, selectors.EVENT_READ)

    def _hear(self, peer: socket.socket) -> None:
        said = b""
        with contextlib.suppress(OSError):
            said = peer.recv(4096)
        if said:
            self._lifelines[peer].heard_at = time.monotonic()
        else:
            self._forget(peer)

    def _forget(self, peer: socket.socket) -> None:
        self._selector.unregister(peer)
        del self._lifelines[peer]
        peer.close()
        if not self._lifelines:
            self._alone.set()

    def _end_silent(self, now: float) -> None:
        for peer, line in list(self._lifelines.items()):
            if now - line.heard_at > SILENT_S_MAX:
                # Its end of the lifeline is open, so the process exists and the id is not reused.
                with contextlib.suppress(ProcessLookupError):
                    os.kill(line.pid, signal.SIGKILL)
                self._forget(peer)
                say(
                    f"API replica (pid {line.pid}) sent no sign of life for {SILENT_S_MAX:g} s and was killed"
                )
