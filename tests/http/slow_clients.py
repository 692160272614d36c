"""Clients on bare sockets that are slow, and a server with short limits for them."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Iterator
from dataclasses import replace

from serve_app.public_port.limits import ConnectionLimits
from tests.http.edge_server import (
    Answer,
    Server,
    assert_envelope,
    read_answer,
    written,
)

SHORT = ConnectionLimits(
    header_bytes_max=8_192,
    header_count_max=10,
    header_read_s_max=1.0,
    body_read_s_max=1.0,
    body_bytes_per_s_min=100_000,
    answer_stalled_s_max=1.0,
    connection_idle_s_max=1.5,
    connections_max=12,
    connections_per_address_max=8,
)
# For tests of sizes and numbers: on a busy machine a client may be slow without meaning to be.
PATIENT = replace(
    SHORT,
    header_read_s_max=60.0,
    body_read_s_max=60.0,
    answer_stalled_s_max=60.0,
    connection_idle_s_max=60.0,
)

GET = written("GET", "/api/v1/tasks")

HALF = b"POST /api/v1/tasks HTTP/1.1\r\nhost: test\r\nx-a: "


@contextlib.contextmanager
def connected(server: Server, sent: bytes = b"", source: str = "127.0.0.1") -> Iterator[socket.socket]:
    place = ("127.0.0.1", server.port)
    with socket.create_connection(place, timeout=60, source_address=(source, 0)) as client:
        client.sendall(sent)
        yield client


def is_closed(client: socket.socket) -> bool:
    """Read to the end; say whether there was one within the socket's timeout."""
    try:
        while client.recv(65_536):
            pass
    except TimeoutError:
        return False
    except OSError:
        pass
    return True


def refused(client: socket.socket, status: int, code: str) -> Answer:
    answer = read_answer(client, "GET")
    assert_envelope(answer, status, code)
    assert answer.headers["connection"] == "close"
    assert is_closed(client)
    return answer


def everything(client: socket.socket) -> bytes:
    """Return all that comes until the server closes."""
    got = b""
    with contextlib.suppress(ConnectionResetError):
        while piece := client.recv(65_536):
            got += piece
    return got
