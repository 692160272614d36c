"""How many connections there may be, and who makes room: on a real socket, with short limits."""

from __future__ import annotations

import contextlib
import os
import re
import time
from collections.abc import Iterator

import pytest

from serve_app.public_port import connection
from serve_app.public_port.limits import ConnectionLimits
from tests.http.edge_server import (
    Server,
    read_answer,
    serving,
    written,
)
from tests.http.slow_clients import GET, HALF, PATIENT, SHORT, connected, everything, refused
from tests.ray.signals import until


@pytest.fixture(scope="module")
def short() -> Iterator[Server]:
    with serving(connection_limits=SHORT) as server:
        yield server


@pytest.fixture(scope="module")
def patient() -> Iterator[Server]:
    with serving(connection_limits=PATIENT) as server:
        yield server


def test_an_idle_connection_is_closed(short: Server) -> None:
    """A connection that has had its answer is closed when it has rested for its time, and not before."""
    with connected(short, GET) as client:
        assert read_answer(client, "GET").status == 200
        # It rests from its answer on, which a busy machine may hand over late.
        begun = time.monotonic()
        client.sendall(GET)
        assert read_answer(client, "GET").status == 200
        assert client.recv(100) == b""
        assert time.monotonic() - begun > SHORT.connection_idle_s_max * 0.9


def test_an_address_makes_room_among_its_own(patient: Server) -> None:
    """Beyond its share, the oldest waiting connection of an address goes; those of others stay,
    and requests are served."""
    with contextlib.ExitStack() as open_ones:
        other = open_ones.enter_context(connected(patient, GET, "127.0.0.9"))
        assert read_answer(other, "GET").status == 200
        half = [open_ones.enter_context(connected(patient, HALF)) for _ in range(20)]
        assert patient.send(GET).status == 200
        refused(half[0], 503, "SERVICE_UNAVAILABLE")
        other.sendall(GET)
        assert read_answer(other, "GET").status == 200


def test_when_all_places_are_taken_the_idle_ones_go_first(patient: Server) -> None:
    """Many addresses fill the server; a request that comes then takes the place of an idle connection."""
    with contextlib.ExitStack() as open_ones:
        idle = open_ones.enter_context(connected(patient, GET, "127.0.0.200"))
        assert read_answer(idle, "GET").status == 200
        half = [
            open_ones.enter_context(connected(patient, HALF, f"127.0.0.{i}"))
            for i in range(2, 1 + PATIENT.connections_max)
        ]
        assert patient.send(GET).status == 200
        assert idle.recv(100) == b""
        half[-1].settimeout(0.05)
        with pytest.raises(TimeoutError):
            half[-1].recv(100)


def test_a_thousand_slow_clients_do_not_delay_a_login() -> None:
    """With more half-sent requests from one address than its share, a login from there is answered before
    any of them has ended by its time."""
    login = written(
        "POST",
        "/api/v1/auth/login",
        b'{"username": "a", "password": "long enough"}',
        content_type="application/json",
    )
    limits = ConnectionLimits(header_read_s_max=60.0)
    with serving(connection_limits=limits) as server, contextlib.ExitStack() as slow:
        for _ in range(1_100):
            slow.enter_context(connected(server, HALF))
        begun = time.monotonic()
        assert server.send(login).status == 200
        assert time.monotonic() - begun < limits.header_read_s_max / 6


def test_clients_that_do_not_close_use_no_file_handles_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of those who were told to end so many are waited for, then the oldest is cut off: who
    comes next is served at once."""
    monkeypatch.setattr(connection, "LINGER_S_MAX", 60.0)
    limits = ConnectionLimits(connections_max=20, connections_per_address_max=20, connections_ending_max=5)
    with serving(connection_limits=limits) as server, contextlib.ExitStack() as slow:
        before = len(os.listdir("/proc/self/fd"))
        clients = [slow.enter_context(connected(server, HALF)) for _ in range(100)]
        # The client's own handles are of the same process.
        most = before + len(clients) + limits.connections_max + limits.connections_ending_max
        until(lambda: len(os.listdir("/proc/self/fd")) <= most)
        assert server.send(GET).status == 200
        for told in clients[75:79]:
            refused(told, 503, "SERVICE_UNAVAILABLE")


TASK = b'{"title": "t", "type": "planning"}'

POST = written("POST", "/api/v1/tasks", content_type="application/json", content_length=str(len(TASK)))


@pytest.mark.parametrize(
    ("half", "rest", "done"),
    [
        (POST + TASK[:9], TASK[9:], b"201 Created"),
        (GET + POST + TASK[:9], TASK[9:], b"201 Created"),
        (GET + GET[:9], GET[9:], b"200 OK"),
    ],
    ids=["half a body", "half a body behind a request", "half a head behind a request"],
)
def test_half_requests_make_room(half: bytes, rest: bytes, done: bytes) -> None:
    """Clients that begin and do not go on, from as many addresses as fill the server, keep nobody out."""
    limits = ConnectionLimits(connections_max=40, connections_per_address_max=10)
    with serving(connection_limits=limits) as server, contextlib.ExitStack() as slow:
        first = slow.enter_context(connected(server, half, "127.0.0.1"))
        for number in range(1, 60):
            slow.enter_context(connected(server, half, f"127.0.0.{1 + number // 10}"))
        for source in ("127.0.0.1", "127.0.0.77"):
            with connected(server, GET, source) as client:
                assert read_answer(client, "GET").status == 200
        # The oldest has ended, with a word where its request was known.
        ended = everything(first)
        assert (b"HTTP/1.1 503 Service Unavailable" in ended) == (POST in half)
        # One that goes on and finishes is served.
        last = slow.enter_context(connected(server, half, "127.0.0.78"))
        last.sendall(rest + GET[:-2] + b"connection: close\r\n\r\n")
        assert [b"HTTP/1.1 " + done, b"HTTP/1.1 200 OK"] == re.findall(
            rb"HTTP/1.1 \d+ [A-Z]\w+", everything(last)
        )[-2:]
