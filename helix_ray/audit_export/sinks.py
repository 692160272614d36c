"""Where the audit is forwarded to: a receiver of syslog, over TLS or in clear, or an HTTPS address.

`send` returns when an HTTPS address has answered 2xx. Receivers of syslog do not answer: there it returns
when the receiver's machine has acknowledged every byte. Whether its program has read them before it ended is
not known: the next `send` fails then (audit_export/forward.py).
"""

from __future__ import annotations

import contextlib
import fcntl
import secrets
import socket
import ssl
import struct
import termios
import time
from collections.abc import Callable, Sequence
from typing import Final, NamedTuple, Protocol

import httpx

from helix_ray.audit_export.messages import ForwardedMessage
from helix_ray.audit_export.syslog import framed, syslog
from helix_ray.webhooks.body import Payload
from helix_ray.webhooks.canonical import canonical
from helix_ray.webhooks.signing import signed_headers
from helix_ray.wire.times import iso

CONNECT_S_MAX: Final = 10.0
# How long a receiver may take for a batch.
SENT_S_MAX: Final = 30.0
_LOOK_S: Final = 0.02
_PIECE_BYTES: Final = 64 << 10
EVENT: Final = "audit.forwarded"
USER_AGENT: Final = "helix-audit-forward/1"
ID_BYTES: Final = 18


class SinkAway(Exception):
    """The receiver cannot be reached, or did not take everything; the message says why, in one line."""


class AuditReceiver(Protocol):
    """A receiver of messages."""

    def send(self, messages: Sequence[ForwardedMessage]) -> None:
        """Send messages, in order, or none, to learn of a broken connection. Raises SinkAway."""
        ...

    def close(self) -> None:
        """End the connection; the next `send` opens another one."""
        ...


class Address(NamedTuple):
    """Where a receiver of syslog listens."""

    host: str
    port: int


class SyslogSink:
    """A receiver of syslog: RFC 5425 where there is a TLS context, else RFC 6587."""

    def __init__(self, address: Address, tls: ssl.SSLContext | None, source: str) -> None:
        """`source` is the name of the host that the messages are of."""
        self._address = address
        self._tls = tls
        self._source = source
        self._connection: socket.socket | None = None

    def send(self, messages: Sequence[ForwardedMessage]) -> None:
        """Send messages, in order; returns when the receiver's machine has them all. Raises SinkAway."""
        data = b"".join(framed(syslog(message, self._source)) for message in messages)
        try:
            connection = self._connected()
            _look_for_the_end(connection)
            end = time.monotonic() + SENT_S_MAX
            for start in range(0, len(data), _PIECE_BYTES):
                connection.settimeout(max(_LOOK_S, end - time.monotonic()))
                connection.sendall(data[start : start + _PIECE_BYTES])
            _wait_until_acknowledged(connection, end)
        except OSError as error:
            self.close()
            raise SinkAway(_why(error)) from error

    def close(self) -> None:
        """End the connection."""
        if self._connection is not None:
            with contextlib.suppress(OSError):
                self._connection.close()
            self._connection = None

    def _connected(self) -> socket.socket:
        if self._connection is None:
            made = socket.create_connection(self._address, CONNECT_S_MAX)
            try:
                if self._tls is not None:
                    made = self._tls.wrap_socket(made, server_hostname=self._address.host)
            except BaseException:
                made.close()
                raise
            self._connection = made
        return self._connection


def _look_for_the_end(connection: socket.socket) -> None:
    """Raise OSError where the receiver has closed the connection: the first write into it would succeed."""
    connection.settimeout(0.0)
    try:
        if not connection.recv(1):
            raise ConnectionResetError("the receiver has closed the connection")
    except (BlockingIOError, ssl.SSLWantReadError):
        return


def _wait_until_acknowledged(connection: socket.socket, end: float) -> None:
    while struct.unpack("i", fcntl.ioctl(connection.fileno(), termios.TIOCOUTQ, bytes(4)))[0]:
        if time.monotonic() >= end:
            raise TimeoutError(f"the receiver took nothing for {SENT_S_MAX:g} s")
        # Bytes stay unacknowledged for ever where the connection was reset.
        _look_for_the_end(connection)
        time.sleep(_LOOK_S)
    _look_for_the_end(connection)


def _why(error: OSError) -> str:
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"its certificate is not trusted: {error.verify_message}"
    return str(error) or type(error).__name__


class HttpsSink:
    """An HTTPS address that gets signed requests, as those of webhooks are."""

    def __init__(
        self,
        url: str,
        secret: str,
        verify: ssl.SSLContext | bool = True,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """`secret` is `whsec_...`: its text keys the body's signatures, its bytes webhook-signature."""
        self._url = url
        self._secret = secret
        self._clock = clock
        self._client = httpx.Client(verify=verify, timeout=SENT_S_MAX)

    def send(self, messages: Sequence[ForwardedMessage]) -> None:
        """Send messages in one request; returns when it was answered with 2xx. Raises SinkAway."""
        if not messages:
            return
        now = self._clock()
        data = canonical({"messages": [message.data for message in messages]})
        payload = Payload(
            b'{"data":%b,"event":"%b"' % (data, EVENT.encode()), b'"timestamp":"%b"}' % iso(now).encode()
        )
        body = payload.body(self._secret)
        name = f"msg_{secrets.token_urlsafe(ID_BYTES)}"
        headers = {
            "Content-Type": "application/json", "User-Agent": USER_AGENT,
            **signed_headers(body, name, int(now), self._secret, [self._secret]),
        }  # fmt: skip
        try:
            answer = self._client.post(self._url, content=body, headers=headers)
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise SinkAway(str(error) or type(error).__name__) from error
        if not answer.is_success:
            raise SinkAway(f"it answered {answer.status_code}")

    def close(self) -> None:
        """End the connections."""
        self._client.close()
