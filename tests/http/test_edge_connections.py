"""What a connection, an address and all of them together may cost: on a real socket, with short limits."""

from __future__ import annotations

import contextlib
import select
import socket
import time
from collections.abc import Iterator

import pytest

from serve_app.public_port.connection import PIPELINED_REQUESTS_MAX
from tests.http.edge_server import (
    LARGE_BYTES,
    TOKEN,
    WAITED,
    Server,
    assert_envelope,
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


# ------------------------------------------------------------------------------------------------ heads


def test_an_endless_header_ends_at_its_limit(patient: Server) -> None:
    """A head without an end is refused when it reaches its limit, not when its client tires."""
    with connected(patient, HALF + b"a" * (8_192 - len(HALF))) as client:
        answer = refused(client, 431, "HEADERS_TOO_LARGE")
    assert answer.error["details"] == {"header_bytes_max": 8_192}


def test_what_is_sent_beyond_the_limit_is_not_read_for_long(patient: Server) -> None:
    """A client that goes on sending is cut off, having cost some hundred KiB."""
    sent = 0
    with connected(patient, HALF) as client, contextlib.suppress(OSError):
        for _ in range(1_000):
            client.sendall(b"a" * 65_536)
            sent += 65_536
    assert sent < 16 << 20  # what the kernel's buffers take, of 64 MiB


def test_a_head_in_one_piece_is_measured_as_well(patient: Server) -> None:
    """Whether it comes at once or in pieces, a head over the limit is refused; one at the limit passes."""
    long = written("GET", "/api/v1/tasks", x_a="a" * 9_000)
    fits = written("GET", "/api/v1/tasks", x_a="a" * 7_000)
    with connected(patient, long) as client:
        refused(client, 431, "HEADERS_TOO_LARGE")
    assert patient.send(fits).status == 200


def test_too_many_headers_are_refused(patient: Server) -> None:
    """The eleventh header of ten is one too many, Host included."""
    assert patient.send(written("GET", "/api/v1/tasks", **{f"x-{i}": "1" for i in range(9)})).status == 200
    with connected(patient, written("GET", "/api/v1/tasks", **{f"x-{i}": "1" for i in range(10)})) as client:
        assert refused(client, 431, "HEADERS_TOO_LARGE").error["details"] == {"header_count_max": 10}


@pytest.mark.parametrize("sent", [HALF, b"G", HALF + b"x\r\n"])
def test_headers_that_do_not_come_are_a_timeout(short: Server, sent: bytes) -> None:
    """Half a head is answered when its time is over, and its connection closed."""
    with connected(short, sent) as client:
        assert refused(client, 408, "REQUEST_TIMEOUT").error["details"]["waited_for"] == "headers"


def test_a_byte_now_and_then_does_not_keep_it_open(short: Server) -> None:
    """The time for a head is one for all of it: a byte does not begin it anew."""
    with connected(short, HALF) as client:
        begun = time.monotonic()
        client.settimeout(0.05)
        with contextlib.suppress(OSError):
            while time.monotonic() - begun < 60:
                client.sendall(b"a")
                with contextlib.suppress(TimeoutError):
                    if client.recv(65_536):
                        break
        assert time.monotonic() - begun < 30


def test_who_says_nothing_is_told_nothing(short: Server) -> None:
    """A connection without a byte is closed in the same time, without an answer."""
    with connected(short) as client:
        assert client.recv(100) == b""


HOSTS = {
    "none": (b"GET /api/v1/tasks HTTP/1.1\r\n\r\n", 400),
    "two": (b"GET /api/v1/tasks HTTP/1.1\r\nhost: a\r\nHost: b\r\n\r\n", 400),
    "the same twice": (b"GET /api/v1/tasks HTTP/1.1\r\nhost: a\r\nhost: a\r\n\r\n", 400),
    "none in what comes after 1.1": (b"GET /api/v1/tasks HTTP/2.0\r\n\r\n", 400),
    "none in HTTP/1.0": (b"GET /api/v1/tasks HTTP/1.0\r\n\r\n", 200),
    "two in HTTP/1.0": (b"GET /api/v1/tasks HTTP/1.0\r\nhost: a\r\nhost: b\r\n\r\n", 400),
}


@pytest.mark.parametrize(("raw", "status"), HOSTS.values(), ids=HOSTS.keys())
def test_a_request_has_one_host(patient: Server, raw: bytes, status: int) -> None:
    """RFC 9112, 3.2: without Host, or with more than one, a request is bad."""
    answer = patient.send(raw)
    assert answer.status == status
    if status == 400:
        assert assert_envelope(answer, 400, "VALIDATION_ERROR") == {"field": "Host"}


# ----------------------------------------------------------------------------------------- bodies and answers


def test_a_body_that_does_not_come_is_a_timeout(short: Server) -> None:
    """A request whose body stops half-way is answered 408, and the application learns that it is gone."""
    raw = written("POST", "/api/v1/tasks", content_type="application/json", content_length="100") + b"{"
    with connected(short, raw) as client:
        assert refused(client, 408, "REQUEST_TIMEOUT").error["details"]["waited_for"] == "body"


def test_a_large_body_has_time_by_its_size(short: Server) -> None:
    """A body that comes well above the least speed arrives whole, though it takes
    longer than a small one may."""
    body = b'{"title": "t", "type": "planning"}' + b" " * 800_000
    head = written("POST", "/api/v1/tasks", content_type="application/json", content_length=str(len(body)))
    with connected(short, head) as client:
        begun = time.monotonic()
        for start in range(0, len(body), 20_000):
            until = begun + start / 500_000
            with contextlib.suppress(TimeoutError):
                client.settimeout(max(until - time.monotonic(), 0.001))
                client.recv(1)
                break
            client.settimeout(60)
            client.sendall(body[start : start + 20_000])
        client.settimeout(60)
        assert read_answer(client, "POST").status == 201
        assert time.monotonic() - begun > SHORT.body_read_s_max


def test_an_answer_that_nobody_takes_is_given_up(short: Server) -> None:
    """A client that asks for much and reads nothing is cut off; one that reads gets all of it."""
    large = written("GET", "/large")
    with connected(short, large) as client:
        answer = read_answer(client, "GET")
        assert len(answer.body) == LARGE_BYTES
    with connected(short) as client:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        client.sendall(large)
        until(lambda: select.select([client], [], [client], 0)[0] != [])
        # The kernel knows of the reset as soon as there is one, and writing meets it.
        until(lambda: not _takes_more(client))


def _takes_more(client: socket.socket) -> bool:
    try:
        client.send(b"x")
    except OSError:
        return False
    return True


def test_a_second_request_behind_a_first_is_answered(short: Server) -> None:
    """Requests in one piece are answered in order; where the last of them is bad, the
    ones before it still are."""
    with connected(short, GET + GET) as client:
        assert everything(client).count(b"HTTP/1.1 200 OK") == 2
    with connected(short, GET + b"GET /api/v1/tasks HTTP/1.1\r\n\r\n") as client:
        assert everything(client).count(b"HTTP/1.1 200 OK") == 1


def test_a_line_of_requests_has_an_end(patient: Server) -> None:
    """Of endless requests in one piece so many are answered as may wait, then the connection closes."""
    with connected(patient, written("GET", "/healthz") * 400) as client:
        answers = everything(client)
    # The one that is being answered, and those behind it.
    assert answers.count(b"HTTP/1.1 200 OK") == 1 + PIPELINED_REQUESTS_MAX


CHUNKED = written("POST", "/api/v1/tasks", content_type="application/json", transfer_encoding="chunked")
TRAILED = CHUNKED + b"a\r\n{         \r\n0\r\n"


def test_a_trailer_is_not_a_header(patient: Server) -> None:
    """What comes behind a body tells us nothing: neither who asks, nor how the request is called."""
    sent = (
        b"1\r\n{\r\n0\r\nAuthorization: Bearer %b\r\nX-Request-ID: req-of-a-trailer\r\n\r\n" % TOKEN.encode()
    )
    answer = patient.send(CHUNKED + sent, "POST")
    assert answer.status == 400
    assert answer.headers["x-request-id"] != "req-of-a-trailer"
    assert '"anonymous"' in answer.headers["ratelimit"]


@pytest.mark.parametrize(
    "sent",
    [
        TRAILED + b"x-a: " + b"a" * 40_000,
        TRAILED + b"x-a: b\r\n" * 20,
        CHUNKED + b"1;" + b"a" * 40_000,
        CHUNKED + b"1\r\n{\r\n" + b"1\r\n \r\n" * 8_000,
    ],
    ids=["an endless trailer", "many trailers", "an endless extension", "chunks of a byte"],
)
def test_what_frames_a_body_is_bounded_as_a_head_is(patient: Server, sent: bytes) -> None:
    """Bytes that are no body, but come behind the head, end at the limit of a head."""
    with connected(patient, sent) as client:
        refused(client, 431, "HEADERS_TOO_LARGE")


def test_a_body_that_nobody_reads_has_an_end(patient: Server) -> None:
    """An answer may come before its body: of that so much is taken as a body may have, and no more."""
    sent = 0
    endless = written("GET", "/api/v1/tasks", transfer_encoding="chunked") + b"40000000\r\n"
    with connected(patient, endless) as client:
        assert read_answer(client, "GET").status == 200
        with contextlib.suppress(OSError):
            while sent < 64 << 20:
                client.sendall(b"a" * 65_536)
                sent += 65_536
    assert sent < 32 << 20


def test_a_request_has_one_answer(short: Server) -> None:
    """What goes wrong in a body whose request was answered ends the connection, and is no
    answer to the next request."""
    early = written("GET", "/api/v1/tasks", transfer_encoding="chunked")
    for rest in (b"", b"not a size\r\n"):
        with connected(short, early) as client:
            assert read_answer(client, "GET").status == 200
            client.sendall(rest)
            assert everything(client) == b""


def test_what_nobody_waits_for_is_cancelled(patient: Server) -> None:
    """A request that is being answered ends when its client hangs up."""
    with connected(patient, written("GET", "/wait")):
        until(lambda: WAITED == ["begun"])
    until(lambda: WAITED == ["begun", "ended"])


@pytest.mark.parametrize(
    "target",
    [
        "CONNECT test:80",
        "CONNECT test",
        "GET http://",
        "GET http:///x",
        "GET http://[::1/x",
        "GET http://h:99999999/",
    ],
)
def test_a_target_that_is_no_url_is_refused_in_the_envelope(patient: Server, target: str) -> None:
    """The parser takes these for a head; what they ask for cannot be said, and the client is told so."""
    answer = patient.send(f"{target} HTTP/1.1\r\nhost: test\r\n\r\n".encode())
    assert_envelope(answer, 400, "VALIDATION_ERROR")


def test_a_url_without_a_path_means_the_root(patient: Server) -> None:
    """A client of a proxy may name only the host (RFC 9112, 3.2.2)."""
    answer = patient.send(b"GET http://test?a HTTP/1.1\r\nhost: test\r\nconnection: close\r\n\r\n")
    assert_envelope(answer, 404, "NOT_FOUND", api=False)
