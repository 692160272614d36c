"""The public port: one listening socket, held here, that every API replica of this machine accepts from.

A replica asks for the socket over a Unix socket when it begins to listen, and keeps that connection as its
lifeline: it writes a byte from its event loop every half second. Because the socket itself stays here, new
connections wait in the kernel's queue when a replica dies and are accepted by another, or by its
successor. One that is silent for SILENT_S_MAX is ended: a replica that hangs must not keep those whom it
has accepted waiting for ever.

At the end (`withdraw`) the socket is shut down: nobody gets in any more, and each replica ends when it has
answered whom it had, which ends its lifeline.

It listens from the start, so that nobody else can have the port: who comes before the
first replica waits for it.
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
# When this process itself did not run for so long (a frozen container, a stopped
# job), nobody's silence counts.
LATE_S_MAX = 1.5
_CREDENTIALS = struct.Struct("3i")  # pid, uid, gid: ucred of SO_PEERCRED


@dataclass
class Lifeline:
    """A replica's process, and when it was heard (monotonic seconds)."""

    pid: int
    heard_at: float


class PublicSocket:
    """Listens when made. Raises OSError where that cannot be."""

    def __init__(self, host: str, port: int) -> None:
        family, kind, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        self._public = socket.socket(family, kind)
        self._public.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            self._public.bind(address)
            # Bound alone would not keep it: another that is bound alone may have the same.
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
        """Return the port, which is the kernel's choice where 0 was asked for."""
        number: int = self._public.getsockname()[1]
        return number

    def close(self) -> None:
        """Let go of the port in this process."""
        self._public.close()

    def withdraw(self, wait_s: float) -> None:
        """Let nobody in any more, and wait until no replica has anybody left, for so long at most."""
        self._withdrawn = True
        # Of the socket itself, in whichever process it is; closing would only let go of it here.
        with contextlib.suppress(OSError):
            self._public.shutdown(socket.SHUT_RDWR)
        self._alone.wait(wait_s)

    def hand_out(self, path: Path) -> None:
        """Serve replicas at `path`, whose folder is ours alone, from a thread that ends with the process."""
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
                # Its end of the lifeline is open, so the process is there and the id is its own.
                with contextlib.suppress(ProcessLookupError):
                    os.kill(line.pid, signal.SIGKILL)
                self._forget(peer)
                say(
                    f"API replica (pid {line.pid}) sent no sign of life for {SILENT_S_MAX:g} s and was killed"
                )
