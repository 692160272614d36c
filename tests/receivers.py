"""A real HTTP receiver of webhooks that behaves as its path says, well or badly.

    /ok /fail (500) /gone (410) /busy (429) /redirect /hang /slow /slowloris /reset /half /huge /created (201)
    /heads (of 1xx, without end) /crumbs (chunks of a byte, without end) /twice (a second answer, unasked)

Other paths behave as `mode` says, which a test may change. It records every request, and counts connections.
"""

from __future__ import annotations

import asyncio
import contextlib
import datetime
import ipaddress
import socket
import ssl
import threading
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

HUGE_BYTES = 50 << 20
UNASKED = b"HTTP/1.1 500 Internal Server Error\r\nContent-Length: 7\r\n\r\nunasked"
SLOW_S = 0.3
DRIP_S = 0.05


@dataclass(frozen=True)
class Received:
    """One request: the number of its connection, and its headers by their names in lower case."""

    path: str
    headers: dict[str, str]
    body: bytes
    at: float
    connection: int


@dataclass
class Receiver:
    """What a test sees of the receiver."""

    scheme: str = "http"
    port: int = 0
    mode: str = "ok"
    retry_after: str = "7"
    redirect_to: str = "/ok"
    connections: int = 0
    open: int = 0
    requests: list[Received] = field(default_factory=list)
    # What a test does with a request before it is answered.
    on_request: Callable[[Received], Awaitable[None]] | None = None
    sent_bytes: int = 0
    writers: list[asyncio.StreamWriter] = field(default_factory=list)

    def url(self, path: str = "/", host: str = "127.0.0.1") -> str:
        """Return a URL of this receiver."""
        return f"{self.scheme}://{host}:{self.port}{path}"

    def of(self, path: str) -> list[Received]:
        """Return the requests of a path."""
        return [each for each in self.requests if each.path == path]

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer the requests of one connection."""
        self.connections += 1
        self.open += 1
        self.writers.append(writer)
        try:
            await self._serve(reader, writer, self.connections)
        except (OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass
        finally:
            self.open -= 1
            self.writers.remove(writer)
            writer.transport.abort()

    def say(self, what: bytes) -> None:
        """Send bytes that nobody asked for, on every connection."""
        for writer in self.writers:
            writer.write(what)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, number: int) -> None:
        while True:
            head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
            headers = {
                name.strip().lower(): value.strip()
                for name, _, value in (line.partition(":") for line in head[1:] if line)
            }
            body = await reader.readexactly(int(headers.get("content-length", "0")))
            request = Received(head[0].split(" ")[1], headers, body, time.time(), number)
            self.requests.append(request)
            if self.on_request is not None:
                await self.on_request(request)
            name = request.path.strip("/").partition("?")[0].partition("/")[0]
            answer = getattr(self, f"_{name or self.mode}", None) or getattr(self, f"_{self.mode}")
            await answer(reader, writer)

    async def _answer(
        self, writer: asyncio.StreamWriter, status: str, body: bytes = b"", more: str = ""
    ) -> None:
        head = f"HTTP/1.1 {status}\r\nContent-Length: {len(body)}\r\n{more}\r\n"
        writer.write(head.encode() + body)
        await writer.drain()

    async def _ok(self, _: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await self._answer(writer, "200 OK", b"thank you")

    async def _twice(self, _: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n" + UNASKED)
        await writer.drain()

    async def _created(self, _: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await self._answer(writer, "201 Created")

    async def _fail(self, _: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await self._answer(writer, "500 Internal Server Error", b"something is wrong")

    async def _gone(self, _: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await self._answer(writer, "410 Gone")

    async def _busy(self, _: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await self._answer(writer, "429 Too Many Requests", more=f"Retry-After: {self.retry_after}\r\n")

    async def _redirect(self, _: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await self._answer(writer, "302 Found", more=f"Location: {self.redirect_to}\r\n")

    async def _hang(self, reader: asyncio.StreamReader, _: asyncio.StreamWriter) -> None:
        await reader.read()

    async def _slow(self, _: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await asyncio.sleep(SLOW_S)
        await self._answer(writer, "200 OK", b"at last")

    async def _slowloris(self, _: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\n")
        while not writer.is_closing():
            writer.write(b"X-A: b\r\n")
            await writer.drain()
            await asyncio.sleep(DRIP_S)

    async def _reset(self, _: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connection: socket.socket = writer.get_extra_info("socket")
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\x00\x00\x00\x00\x00\x00\x00")
        raise ConnectionResetError

    async def _half(self, _: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf")
        await writer.drain()
        await asyncio.sleep(DRIP_S)
        raise ConnectionResetError

    async def _heads(self, _: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await self._flood(writer, b"HTTP/1.1 103 Early Hints\r\n\r\n")

    async def _crumbs(self, _: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        await self._flood(writer, b"1\r\na\r\n")

    async def _flood(self, writer: asyncio.StreamWriter, what: bytes) -> None:
        while not writer.is_closing():
            writer.write(what * 1000)
            self.sent_bytes += len(what) * 1000
            await writer.drain()

    async def _huge(self, _: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(f"HTTP/1.1 200 OK\r\nContent-Length: {HUGE_BYTES}\r\n\r\n".encode())
        for _ in range(HUGE_BYTES >> 16):
            writer.write(bytes(1 << 16))
            self.sent_bytes += 1 << 16
            await writer.drain()


@contextlib.asynccontextmanager
async def receiving(tls: ssl.SSLContext | None = None, host: str = "127.0.0.1") -> AsyncIterator[Receiver]:
    """A receiver on the running loop."""
    receiver = Receiver(scheme="https" if tls else "http")
    tasks: set[asyncio.Task[None]] = set()

    def begin(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.get_running_loop().create_task(receiver.serve(reader, writer))
        tasks.add(task)
        task.add_done_callback(tasks.discard)

    server = await asyncio.start_server(begin, host, 0, ssl=tls)
    receiver.port = server.sockets[0].getsockname()[1]
    try:
        yield receiver
    finally:
        server.close()
        for task in list(tasks):
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


@contextlib.contextmanager
def receiving_beside(tls: ssl.SSLContext | None = None) -> Iterator[Receiver]:
    """A receiver in a thread, for tests without a loop."""
    ready: list[Receiver] = []
    started = threading.Event()
    loop = asyncio.new_event_loop()
    stop = asyncio.Event()

    async def run() -> None:
        async with receiving(tls) as receiver:
            ready.append(receiver)
            started.set()
            await stop.wait()

    thread = threading.Thread(target=loop.run_until_complete, args=(run(),), daemon=True)
    thread.start()
    assert started.wait(60)
    try:
        yield ready[0]
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join(60)
        loop.close()


@dataclass(frozen=True)
class Authority:
    """A certificate authority of a test, and a certificate by it in a file with its key."""

    ca: str
    file: Path

    def context(self) -> ssl.SSLContext:
        """Return what a server needs."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.file)
        return context


def authority(folder: Path, *names: str, days: tuple[int, int] = (-1, 1)) -> Authority:
    """Make an authority, and a certificate for host names and addresses, valid from a day to another one."""
    now = datetime.datetime.now(datetime.UTC)
    ca_key, key = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    ca_name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, f"authority of {folder.name}")])

    def builder(
        subject: x509.Name, public: ec.EllipticCurvePublicKey, first: int, last: int
    ) -> x509.CertificateBuilder:
        return (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(ca_name)
            .public_key(public)
            .serial_number(x509.random_serial_number())
            .not_valid_before(now + datetime.timedelta(days=first))
            .not_valid_after(now + datetime.timedelta(days=last))
        )

    usage = x509.KeyUsage(
        digital_signature=True, content_commitment=False, key_encipherment=False, data_encipherment=False,
        key_agreement=False, key_cert_sign=True, crl_sign=True, encipher_only=False, decipher_only=False,
    )  # fmt: skip
    ca = (
        builder(ca_name, ca_key.public_key(), -1, 1)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .add_extension(usage, critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(ca_key.public_key()), critical=False)
        .sign(ca_key, hashes.SHA256())
    )
    own = (
        builder(x509.Name([]), key.public_key(), *days)
        .add_extension(x509.SubjectAlternativeName([_general(name) for name in names]), critical=True)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(ca_key.public_key()), critical=False
        )
        .sign(ca_key, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    secret = key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    file = folder / "receiver.pem"
    file.write_bytes(own.public_bytes(pem) + secret)
    return Authority(ca.public_bytes(pem).decode(), file)


def _general(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)
