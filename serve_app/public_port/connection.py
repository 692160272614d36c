"""One connection of the public port: uvicorn's protocol with limits, and with our envelope for refusals.

Middleware sees a request only when its head is complete. What a client may do before that, and how slowly it
may send a body or read a response, is decided here. connections.py checks the times of all connections
together, so no connection needs a timer.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any
from urllib.parse import unquote

import httptools

from helix_ray.core.errors import ErrorCode, Rejected, invalid
from serve_app.edge.state import ENDS_WITH_SERVER
from serve_app.public_port.client_certificate import SHOWN, shown_by
from serve_app.public_port.connections import CHECK_EVERY_S, Connections, Waits
from serve_app.public_port.exchange import Exchange
from serve_app.public_port.limits import ConnectionLimits
from serve_app.public_port.refused import busy, head_too_large, malformed, written
from serve_app.public_port.uvicorn_seams import HttpToolsProtocol

# A client that is still sending when it is refused would not see the response if the socket closed at once.
LINGER_S_MAX = 2.0
LINGER_BYTES_MAX = 256 * 1024
CLOSE_S_MAX = 5.0
# Pipelined requests behind the one being answered: each stays in memory until its turn.
PIPELINED_REQUESTS_MAX = 100
# Versions of HTTP in which the Host header is optional.
WITHOUT_HOST = frozenset({"0.9", "1.0"})


class Connection(HttpToolsProtocol):
    """Invariant: `_reading` is "head" or "body" while a message is not complete, else "";
    `_since` is when that began."""

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
        # Whether the table lists this connection as waiting for the rest of a body.
        self._awaits_body = False
        # Bytes of the current body with its chunk framing, and bytes of it that came after its response.
        self._wire_bytes = 0
        self._unread_bytes = 0
        # When a closing connection is cut off.
        self._ends_at: float | None = None
        self._discarded = 0
        # Since when the client has read nothing, and the largest buffer since then.
        self._stalled_at: float | None = None
        self._unsent_most = 0

    # ------------------------------------------------------------------------------------------ the socket

    def connection_made(self, transport: Any) -> None:
        """Admit the client, or refuse it when there are too many connections."""
        super().connection_made(transport)
        self.app_state = {**self.app_state, SHOWN: shown_by(transport)}
        self._since = self.loop.time()
        if not self._table.admit(self, self._host()):
            self._refuse(busy())

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the connection, and cancel its requests."""
        self._table.gone(self)
        if self._task is not None and self._answering():
            self._task.cancel()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Parse more input; the parser never gets more of a head than the limit, because its
        time grows with the head."""
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
                self._refuse(head_too_large("header_bytes_max", self._limits.header_bytes_max))
        if data:
            self._discard(len(data))

    def shutdown(self) -> None:
        """Close after the response under way, or at once where that has no end of its own."""
        endless = self._answering() and self.scope.get("state", {}).get(ENDS_WITH_SERVER)
        self.transport.close() if endless else super().shutdown()

    def pause_writing(self) -> None:
        """The client reads more slowly than we write: watch it."""
        super().pause_writing()
        self._stalled_at = self.loop.time()
        self._unsent_most = self.transport.get_write_buffer_size()

    def resume_writing(self) -> None:
        """The client has read what was buffered."""
        super().resume_writing()
        self._stalled_at = None

    # ------------------------------------------------------------------------------------------ the parser

    def on_message_begin(self) -> None:
        """A head begins, perhaps behind another request in the same read."""
        super().on_message_begin()
        self._header_count = 0
        if self._reading == "":
            self._begin_head()

    def on_header(self, name: bytes, value: bytes) -> None:
        """Take a header, up to the limit; a trailer is counted and dropped.

        If trailers were merged into headers, they would be trusted although no proxy has
        checked them (RFC 9110, 6.5.1).
        """
        if self._ends_at is not None:
            return
        self._header_count += 1
        if self._header_count > self._limits.header_count_max:
            self._refuse(head_too_large("header_count_max", self._limits.header_count_max))
        elif self._reading == "head":
            super().on_header(name, value)

    def on_headers_complete(self) -> None:
        """Start the request, unless its head alone is a reason to refuse it."""
        if self._ends_at is not None:
            return
        target = self._target()
        refusal = malformed() if target is None else self._wrong_with_head()
        if refusal is None and len(self.pipeline) >= PIPELINED_REQUESTS_MAX:
            # The queued requests are answered; the last of them closes the connection.
            refusal = busy()
        if refusal is not None or target is None:
            self._refuse(refusal or malformed())
            return
        self._reading, self._since = "body", self.loop.time()
        self._body_bytes = self._wire_bytes = self._unread_bytes = 0
        self._table.now_waits(self, Waits.NOTHING)
        self._begin_exchange(*target)

    def on_body(self, body: bytes) -> None:
        """Take a piece of a body; drop it when the response did not need it, up to the limit of a body."""
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
        """The request is complete."""
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
        """The response is complete; the client may send another request. `check` ends it
        when it is idle too long."""
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
            # Half of the next request may have arrived already.
            if self._reading == "head":
                self._table.now_waits(self, Waits.REST_OF_HEAD)
            else:
                self._rest()

    def send_400_response(self, msg: str) -> None:
        """Answer a request that the parser refuses."""
        self._refuse(malformed())

    def _should_upgrade(self) -> bool:
        return False

    def _target(self) -> tuple[bytes, bytes] | None:
        """Return path and query of the request; None where its target is not a URL,
        which the parser allows."""
        try:
            url = httptools.parse_url(self.url)
        except httptools.HttpParserInvalidURLError:
            return None
        # A URL without a path means "/" (RFC 9112, 3.2.2).
        return url.path or b"/", url.query or b""

    def _begin_exchange(self, raw_path: bytes, query: bytes) -> None:
        """Start the request, or queue it behind the one being answered."""
        version = self.parser.get_http_version()
        path = raw_path.decode("ascii")
        # uvicorn has its own types where ASGI's are loose.
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
        """Close to make room for others: an idle client reconnects, one with half a request gets a 503."""
        cycle: Any = self.cycle
        half_body = self._reading == "body" and not cycle.response_started
        if half_body or (self._reading == "head" and self._head_bytes):
            self._refuse(busy())
        else:
            self._close()

    def cut(self) -> None:
        """Close at once, without waiting for the client to read what was written."""
        self.transport.abort()

    def check(self, now: float) -> None:
        """Close when a time limit has passed; `now` is the loop's time."""
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
        """Note that the connection waits for its client, when part of a body has come and more is due."""
        if self._is_mostly_framing():
            self._refuse(head_too_large("header_bytes_max", self._limits.header_bytes_max))
        elif not self._awaits_body and not self.pipeline:
            self._awaits_body = True
            self._table.now_waits(self, Waits.REST_OF_BODY)

    def _check_body(self, now: float) -> None:
        if self.flow.read_paused:
            # The application is the slow side.
            self._since += CHECK_EVERY_S
        allowed = self._limits.body_read_s_max + self._body_bytes / self._limits.body_bytes_per_s_min
        if now - self._since > allowed:
            self._too_slow("body", self._limits.body_read_s_max)

    def _is_mostly_framing(self) -> bool:
        """Say whether the framing (chunk sizes and extensions, trailers) exceeds both the
        limit of a head and the body."""
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
            return head_too_large("header_bytes_max", self._limits.header_bytes_max)
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
        """Send the envelope and close; where another response is under way on this
        connection, close after it."""
        if self._ends_at is not None or self.transport.is_closing():
            return
        cycle: Any = self.cycle
        self._end(LINGER_S_MAX)
        if self._answering():
            if self._reading == "head" or cycle.response_started:
                # The request being answered came before this one; its end closes the connection.
                cycle.keep_alive = False
                self._ends_at = self.loop.time() + self._limits.body_read_s_max
                return
            cycle.disconnected = True
            cycle.message_event.set()
        if self._reading == "head" or not cycle.response_complete:
            # The request may have been answered before its slow body ended: a second response would be taken
            # for the next request's.
            self.transport.write(written(rejected, self._host(), self.scheme))
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


def protocol(limits: ConnectionLimits) -> Callable[..., asyncio.Protocol]:
    """Return a class for uvicorn.Config's `http`: connections that share these limits on one event loop."""
    tables: list[Connections] = []

    def make(**given: Any) -> asyncio.Protocol:
        if not tables:
            # uvicorn constructs protocols on the loop that serves them, which may not run yet
            # when it is configured.
            tables.append(Connections(limits, asyncio.get_running_loop()))
        return Connection(connections=tables[0], **given)

    return make
