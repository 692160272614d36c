"""One connection of the public port: uvicorn's protocol, within limits, and with our form for what it refuses.

Middleware meets a request when its head is complete; what a client can do before, and how slowly it can send a body or
take an answer, is decided here. Times are looked at by connections.py, for all connections together.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from http import HTTPStatus
from typing import Any
from urllib.parse import unquote

import httptools

from helix_ray.core.errors import ErrorCode, Rejected, invalid
from serve_app.edge.request_id import choose
from serve_app.edge.unparsed import headers_for
from serve_app.problems import STATUS, answer_headers, envelope
from serve_app.public_port.connections import CHECK_EVERY_S, Connections, Waits
from serve_app.public_port.exchange import Exchange
from serve_app.public_port.limits import ConnectionLimits
from serve_app.public_port.uvicorn_seams import HttpToolsProtocol

# A client that still sends when it is refused would lose the answer if the socket closed at once.
LINGER_S_MAX = 2.0
LINGER_BYTES_MAX = 256 * 1024
CLOSE_S_MAX = 5.0
RETRY_AFTER_S = 1
# Requests behind one that is being answered: each is held in memory until its turn.
PIPELINED_REQUESTS_MAX = 100
# Versions of HTTP in which a request need not say which host it means.
WITHOUT_HOST = frozenset({"0.9", "1.0"})


class Connection(HttpToolsProtocol):
    """Invariant: `_reading` is "head" or "body" while a message is not complete, else ""; `_since` is when that began."""

    def __init__(self, *, connections: Connections, **given: Any) -> None:
        super().__init__(**given)
        self._table = connections
        self._limits = connections.limits
        self._task: asyncio.Task[None] | None = None
        self._reading = "head"
        self._since = 0.0
        self._head_bytes = 0
        self._header_count = 0
        self._body_bytes = 0
        # Whether the table knows that this one waits for the rest of a body.
        self._awaits_body = False
        # Of a body as it came, with the sizes and extensions of its chunks; and what came after its answer was given.
        self._wire_bytes = 0
        self._unread_bytes = 0
        # When it is cut off, once it has been told to end.
        self._ends_at: float | None = None
        self._discarded = 0
        # Since when the client takes nothing, and the most that has waited for it since.
        self._stalled_at: float | None = None
        self._unsent_most = 0

    # ------------------------------------------------------------------------------------------ the socket

    def connection_made(self, transport: Any) -> None:
        """Let the client in, or say that there is no room."""
        super().connection_made(transport)
        self._since = self.loop.time()
        if not self._table.admit(self, self._host()):
            self._refuse(_busy())

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the client, and end what is still being done for it."""
        self._table.gone(self)
        if self._task is not None and self._answering():
            self._task.cancel()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Read on; of a head never more than its limit is given to the parser, whose time grows with it."""
        if self._reading == "" and self._ends_at is None:
            self._begin_head()
        while data and self._ends_at is None:
            piece, data = data, b""
            if self._reading == "head":
                room = self._limits.header_bytes_max - self._head_bytes
                piece, data = piece[:room], piece[room:]
                self._head_bytes += len(piece)
            elif self._reading == "body":
                self._wire_bytes += len(piece)
            super().data_received(piece)
            if self._reading == "body" and self._ends_at is None:
                self._look_at_body()
            if self._reading == "head" and self._head_bytes >= self._limits.header_bytes_max:
                self._refuse(_head_too_large("header_bytes_max", self._limits.header_bytes_max))
        if data:
            self._discard(len(data))

    def pause_writing(self) -> None:
        """The client takes less than it gets: from now on it is watched."""
        super().pause_writing()
        self._stalled_at = self.loop.time()
        self._unsent_most = self.transport.get_write_buffer_size()

    def resume_writing(self) -> None:
        """The client has taken what waited for it."""
        super().resume_writing()
        self._stalled_at = None

    # ------------------------------------------------------------------------------------------ the parser

    def on_message_begin(self) -> None:
        """A head begins, perhaps behind another request in the same piece."""
        super().on_message_begin()
        self._header_count = 0
        if self._reading == "":
            self._begin_head()

    def on_header(self, name: bytes, value: bytes) -> None:
        """Take a header, up to their number; a trailer is counted and dropped.

        A trailer passed for a header would be believed though whoever stands before us never looked at it (RFC 9110, 6.5.1).
        """
        if self._ends_at is not None:
            return
        self._header_count += 1
        if self._header_count > self._limits.header_count_max:
            self._refuse(_head_too_large("header_count_max", self._limits.header_count_max))
        elif self._reading == "head":
            super().on_header(name, value)

    def on_headers_complete(self) -> None:
        """Have the request answered, unless its head alone is reason enough not to."""
        if self._ends_at is not None:
            return
        target = self._target()
        refusal = _malformed() if target is None else self._wrong_with_head()
        if refusal is None and len(self.pipeline) >= PIPELINED_REQUESTS_MAX:
            # Those in line are answered, and the last of them ends the connection.
            refusal = _busy()
        if refusal is not None or target is None:
            self._refuse(refusal or _malformed())
            return
        self._reading, self._since = "body", self.loop.time()
        self._body_bytes = self._wire_bytes = self._unread_bytes = 0
        self._table.now_waits(self, Waits.NOTHING)
        self._begin_exchange(*target)

    def on_body(self, body: bytes) -> None:
        """Take a piece of a body, or drop it where the answer did not need it: so much of it as a body may have."""
        if self._ends_at is not None:
            return
        self._body_bytes += len(body)
        if self.cycle.response_complete:
            self._unread_bytes += len(body)
            if self._unread_bytes > self._limits.unread_bytes_max:
                self._close()
                return
        super().on_body(body)

    def on_message_complete(self) -> None:
        """The request is here."""
        if self._ends_at is not None:
            return
        self._reading = ""
        if self._awaits_body:
            self._awaits_body = False
            self._table.now_waits(self, Waits.NOTHING)
        super().on_message_complete()
        if self.cycle.response_complete:
            self._rest()

    def on_response_complete(self) -> None:
        """The answer is given; the client may ask again. How long it may be idle is for `check` to say, with no timer."""
        self.server_state.total_requests += 1
        if not self.transport.is_closing():
            self.flow.resume_reading()
            if self.pipeline:
                self._start_asgi_task(*self.pipeline.pop())
        if self._ends_at is not None:
            return
        if self._reading == "body":
            self._look_at_body()
        elif not self._answering():
            # Behind what was answered, half of the next request may have come.
            if self._reading == "head":
                self._table.now_waits(self, Waits.REST_OF_HEAD)
            else:
                self._rest()

    def send_400_response(self, msg: str) -> None:
        """Refuse what the parser refuses."""
        self._refuse(_malformed())

    def _should_upgrade(self) -> bool:
        return False

    def _target(self) -> tuple[bytes, bytes] | None:
        """Return path and query of the request; None where its target is no URL, which the parser itself lets pass."""
        try:
            url = httptools.parse_url(self.url)
        except httptools.HttpParserInvalidURLError:
            return None
        # A URL that names only a host means its root (RFC 9112, 3.2.2).
        return url.path or b"/", url.query or b""

    def _begin_exchange(self, raw_path: bytes, query: bytes) -> None:
        """Begin to answer, or put the request behind the one that is being answered."""
        version = self.parser.get_http_version()
        path = raw_path.decode("ascii")
        # uvicorn has types of its own for what ASGI leaves open.
        scope: Any = self.scope
        scope["method"] = self.parser.get_method().decode("ascii")
        scope["http_version"] = version
        scope["path"] = self.root_path + (unquote(path) if "%" in path else path)
        scope["raw_path"] = self.root_path.encode("ascii") + raw_path
        scope["query_string"] = query
        waits = self._answering()
        exchange: Any = Exchange(
            scope,
            self.transport,
            self.flow,
            headers=self.server_state.default_headers,
            waits_for_continue=self.expect_100_continue,
            keep_alive=version != "1.0" and self.parser.should_keep_alive(),
            on_response=self.on_response_complete,
        )
        self.cycle = exchange
        if waits:
            self.flow.pause_reading()
            self.pipeline.appendleft((self.cycle, self.app))
        else:
            self._start_asgi_task(self.cycle, self.app)

    def _start_asgi_task(self, cycle: Any, app: Any) -> None:
        self._task = self.loop.create_task(cycle.run(app))
        self.tasks.add(self._task)
        self._task.add_done_callback(self.tasks.discard)

    # ------------------------------------------------------------------------------------------ limits

    def make_room(self) -> None:
        """End, because others need the place: an idle client asks again, one with half a request is told."""
        cycle: Any = self.cycle
        half_body = self._reading == "body" and not cycle.response_started
        if half_body or (self._reading == "head" and self._head_bytes):
            self._refuse(_busy())
        else:
            self._close()

    def cut(self) -> None:
        """End at once, without waiting for the client to take what was written."""
        self.transport.abort()

    def check(self, now: float) -> None:
        """End what has taken too long; `now` is the loop's time."""
        if self._ends_at is not None:
            if now >= self._ends_at:
                self.transport.abort()
        elif self.transport.is_closing():
            self._ends_at = now + CLOSE_S_MAX
            self._table.ending(self)
        elif self._stalled_at is not None and self._takes_nothing(now):
            self.transport.abort()
        elif self._reading == "head" and now - self._since > self._limits.header_read_s_max:
            self._too_slow("headers", self._limits.header_read_s_max)
        elif self._reading == "body":
            self._check_body(now)
        elif self._is_idle() and now - self._since > self._limits.connection_idle_s_max:
            self._close()

    def _look_at_body(self) -> None:
        """Note, when a piece of a body has come and more is to come, that it is the client who is waited for."""
        if self._is_mostly_framing():
            self._refuse(_head_too_large("header_bytes_max", self._limits.header_bytes_max))
        elif not self._awaits_body and not self.pipeline:
            self._awaits_body = True
            self._table.now_waits(self, Waits.REST_OF_BODY)

    def _check_body(self, now: float) -> None:
        if self.flow.read_paused:
            # It is the application that takes its time.
            self._since += CHECK_EVERY_S
        allowed = self._limits.body_read_s_max + self._body_bytes / self._limits.body_bytes_per_s_min
        if now - self._since > allowed:
            self._too_slow("body", self._limits.body_read_s_max)

    def _is_mostly_framing(self) -> bool:
        """Say whether what is no body (chunk sizes and extensions, trailers) is more than a head may be, and the body."""
        return self._wire_bytes - self._body_bytes > self._limits.header_bytes_max + self._body_bytes

    def _takes_nothing(self, now: float) -> bool:
        assert self._stalled_at is not None
        unsent = self.transport.get_write_buffer_size()
        self._unsent_most = max(self._unsent_most, unsent)
        taken = self._unsent_most - unsent
        allowed = self._limits.answer_stalled_s_max + taken / self._limits.body_bytes_per_s_min
        return now - self._stalled_at > allowed

    def _wrong_with_head(self) -> Rejected | None:
        size = len(self.url) + sum(len(name) + len(value) + 4 for name, value in self.headers)
        if size > self._limits.header_bytes_max:
            return _head_too_large("header_bytes_max", self._limits.header_bytes_max)
        hosts = sum(name == b"host" for name, _ in self.headers)
        if hosts > 1 or (hosts == 0 and self.parser.get_http_version() not in WITHOUT_HOST):
            return invalid("A request must have one Host header", field="Host")
        return None

    def _too_slow(self, what: str, limit_s: float) -> None:
        if what == "headers" and self._head_bytes == 0:
            self._close()
            return
        details = {"waited_for": what, "limit_s": limit_s}
        self._refuse(
            Rejected(
                ErrorCode.REQUEST_TIMEOUT,
                f"The {what} of the request took too long to arrive",
                details,
            )
        )

    # ------------------------------------------------------------------------------------------ ends

    def _refuse(self, rejected: Rejected) -> None:
        """Answer with the envelope and end; where another answer is on its way on this connection, end after that."""
        if self._ends_at is not None or self.transport.is_closing():
            return
        cycle: Any = self.cycle
        self._end(LINGER_S_MAX)
        if self._answering():
            if self._reading == "head" or cycle.response_started:
                # What is being answered was read before this; its end closes the connection.
                cycle.keep_alive = False
                self._ends_at = self.loop.time() + self._limits.body_read_s_max
                return
            cycle.disconnected = True
            cycle.message_event.set()
        if self._reading == "head" or not cycle.response_complete:
            # A body may be too slow though its request was answered: a second answer would pass for the next one's.
            self.transport.write(_written(rejected, self._host()))
        if self.transport.can_write_eof():
            self.transport.write_eof()

    def _close(self) -> None:
        self._end(CLOSE_S_MAX)
        self.transport.close()

    def _end(self, within_s: float) -> None:
        self._ends_at = self.loop.time() + within_s
        self._table.ending(self)

    def _discard(self, count: int) -> None:
        self._discarded += count
        if self._discarded > LINGER_BYTES_MAX:
            self.transport.abort()

    def _begin_head(self) -> None:
        self._reading, self._since, self._head_bytes = "head", self.loop.time(), 0
        if not self._answering():
            self._table.now_waits(self, Waits.REST_OF_HEAD)

    def _rest(self) -> None:
        self._since = self.loop.time()
        self._table.now_waits(self, Waits.NEXT_REQUEST)

    def _is_idle(self) -> bool:
        return self._reading == "" and not self._answering()

    def _answering(self) -> bool:
        return self.cycle is not None and not self.cycle.response_complete

    def _host(self) -> str:
        return self.client[0] if self.client else ""


def _malformed() -> Rejected:
    return Rejected(ErrorCode.VALIDATION_ERROR, "Malformed HTTP request")


def _busy() -> Rejected:
    details = {"retry_after_s": RETRY_AFTER_S}
    return Rejected(ErrorCode.SERVICE_UNAVAILABLE, "Too many connections are open", details)


def _head_too_large(limit: str, value: int) -> Rejected:
    return Rejected(ErrorCode.HEADERS_TOO_LARGE, "The request headers are too large", {limit: value})


def _written(rejected: Rejected, host: str) -> bytes:
    request_id = choose(None)
    body = envelope(rejected, request_id)
    status = HTTPStatus(STATUS[rejected.code])
    headers = [
        (b"content-type", b"application/json"),
        (b"content-length", b"%d" % len(body)),
        (b"connection", b"close"),
        (b"x-request-id", request_id.encode()),
        *answer_headers(rejected),
        *headers_for(host),
    ]
    lines = b"".join(b"%b: %b\r\n" % header for header in headers)
    return b"HTTP/1.1 %d %b\r\n%b\r\n%b" % (status, status.phrase.encode(), lines, body)


def protocol(limits: ConnectionLimits) -> Callable[..., asyncio.Protocol]:
    """Return what uvicorn.Config takes as `http`: connections that share these limits, on one event loop."""
    tables: list[Connections] = []

    def make(**given: Any) -> asyncio.Protocol:
        if not tables:
            # uvicorn makes a protocol on the loop that serves it, which need not run yet when it is configured.
            tables.append(Connections(limits, asyncio.get_running_loop()))
        return Connection(connections=tables[0], **given)

    return make
