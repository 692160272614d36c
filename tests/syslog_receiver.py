"""A real receiver of syslog, over TLS or plain TCP, which reads RFC 5424 by its grammar."""

from __future__ import annotations

import re
import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field

WAIT_S_MAX = 60.0
# Section 6 of RFC 5424, with one element of structured data.
_LINE = re.compile(
    rb"<(?P<pri>\d{1,3})>1 (?P<at>\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d{1,6})?Z) "
    rb"(?P<host>[\x21-\x7e]{1,255}) "
    rb"(?P<app>[\x21-\x7e]{1,48}) (?P<proc>[\x21-\x7e]{1,128}) (?P<name>[\x21-\x7e]{1,32}) "
    rb'\[(?P<id>[^ =\]"\x00-\x20]{1,32})'
    rb'(?P<params>(?: [\x21\x23-\x3c\x3e-\x5c\x5e-\x7e]{1,32}="(?:[^"\\\]]|\\["\\\]])*")*)\] (?P<text>.*)',
    re.DOTALL,
)
_PARAM = re.compile(rb' ([^ =]+)="((?:[^"\\\]]|\\["\\\]])*)"')


@dataclass(frozen=True)
class Line:
    """A message, taken apart."""

    priority: int
    at: str
    host: str
    name: str
    sd_id: str
    params: dict[str, str]
    text: bytes


def parsed(raw: bytes) -> Line:
    """Take a message apart; what does not fit the grammar fails."""
    found = _LINE.fullmatch(raw)
    assert found, raw
    params = {
        name.decode(): re.sub(rb'\\(["\\\]])', rb"\1", value).decode()
        for name, value in _PARAM.findall(found["params"])
    }
    words = (found[name].decode() for name in ("at", "host", "name", "id"))
    at, host, name, sd_id = words
    return Line(int(found["pri"]), at, host, name, sd_id, params, found["text"])


@dataclass
class SyslogReceiver:
    """What a test sees of the receiver. While it is not `reading`, it accepts and reads nothing."""

    port: int = 0
    lines: list[Line] = field(default_factory=list)
    connections: list[socket.socket] = field(default_factory=list)
    reading: threading.Event = field(default_factory=threading.Event)
    news: threading.Condition = field(default_factory=threading.Condition)

    def seqs(self) -> list[int]:
        """Return the seqs of the records so far."""
        return [int(line.params["seq"]) for line in self.lines if "seq" in line.params]

    def wait(self, count: int) -> None:
        """Wait until so many messages have come."""
        with self.news:
            assert self.news.wait_for(lambda: len(self.lines) >= count, WAIT_S_MAX), len(self.lines)

    def cut(self) -> None:
        """Break all connections."""
        for connection in self.connections:
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)

    def serve(self, connection: socket.socket, tls: ssl.SSLContext | None) -> None:
        """Read the messages of a connection."""
        self.connections.append(connection)
        self.reading.wait()
        with suppress(OSError):
            if tls is not None:
                connection = tls.wrap_socket(connection, server_side=True)
                self.connections.append(connection)
            self._read(connection)
        connection.close()

    def _read(self, connection: socket.socket) -> None:
        with connection.makefile("rb") as file:
            while length := _length(file.read):
                raw = file.read(length)
                if len(raw) < length:
                    return
                with self.news:
                    self.lines.append(parsed(raw))
                    self.news.notify_all()


def _length(read: object) -> int:
    digits = b""
    while (byte := read(1)) not in (b" ", b""):  # type: ignore[operator]
        digits += byte
    return int(digits or b"0")


@contextmanager
def receiving_syslog(tls: ssl.SSLContext | None = None) -> Iterator[SyslogReceiver]:
    """Give a receiver that listens on a port of its own."""
    receiver = SyslogReceiver()
    receiver.reading.set()
    with socket.create_server(("127.0.0.1", 0)) as listener:
        receiver.port = listener.getsockname()[1]
        threads: list[threading.Thread] = []

        def accept() -> None:
            with suppress(OSError):
                while True:
                    connection, _ = listener.accept()
                    threads.append(threading.Thread(target=receiver.serve, args=(connection, tls)))
                    threads[-1].start()

        accepting = threading.Thread(target=accept)
        accepting.start()
        try:
            yield receiver
        finally:
            receiver.reading.set()
            listener.shutdown(socket.SHUT_RDWR)
            accepting.join(WAIT_S_MAX)
            receiver.cut()
            for thread in threads:
                thread.join(WAIT_S_MAX)
