"""Connects to places that users name: by an address that was checked, never by a name.

1. look the name up, once
2. check every answer: one that is forbidden refuses the request, since a name that leads inside as well
   as outside is not asked at all
3. connect to one of them, the next where it does not answer
4. check what the socket says of its peer; one that is this machine itself takes a listed network
5. TLS, with the name for SNI and for the certificate
"""

from __future__ import annotations

import asyncio
import contextlib
import select
import socket
import ssl
from collections.abc import Sequence
from typing import Any, Final

import certifi
import httpcore

from helix_ray.outward.addresses import Address, Allowed, address_of, is_listed, refusal
from helix_ray.outward.checking import Target
from helix_ray.outward.outcome import (
    FORBIDDEN_ADDRESS,
    REFUSED,
    RESET,
    SETTING_NETWORKS,
    TLS,
    TOO_LARGE,
    UNREACHABLE,
    PostFailed,
)
from helix_ray.outward.resolving import Resolver

# A request tries so many addresses of a name; each but the last has so long.
ADDRESSES_TRIED_MAX: Final = 4
CONNECT_S_MAX: Final = 5.0
READ_BYTES: Final = 65_536
# What a receiver may send before its response: heads of 1xx without end cost all of the timeout in CPU.
HEADS_BYTES_MAX: Final = 32_768
CONTEXTS_MAX: Final = 256


class CheckedStream(httpcore.AsyncNetworkStream):
    """A connection as httpcore uses it; times are limited by who makes the request, and so is what is read
    after the head of the response.

    What is written leaves when something is read: head and body of a request are one packet.
    """

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self._left: float = HEADS_BYTES_MAX
        self._unsent: list[bytes] = []
        self._arrivals = select.poll()
        self._arrivals.register(writer.get_extra_info("socket"), select.POLLIN)

    async def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        """Return what has arrived; nothing at the end."""
        if self._unsent:
            await self._send()
        if self._left <= 0:
            raise PostFailed(TOO_LARGE, "The receiver sent too much for the head of a response")
        found = await self._reader.read(int(min(max_bytes, self._left)))
        self._left -= len(found)
        return found

    def allow(self, size: float) -> None:
        """Let so many bytes be read until the next request is written."""
        self._left = size

    async def write(self, buffer: bytes, timeout: float | None = None) -> None:
        """Send bytes with the next read."""
        self._left = HEADS_BYTES_MAX
        self._unsent.append(buffer)

    async def _send(self) -> None:
        self._writer.writelines(self._unsent)
        self._unsent = []
        # A receiver that closed may have answered before: that is read in any case.
        with contextlib.suppress(OSError):
            await self._writer.drain()

    async def aclose(self) -> None:
        """Close at once."""
        self._writer.transport.abort()

    def get_extra_info(self, info: str) -> Any:
        """Return whether the connection was closed by the other side, or sent what nobody asked for."""
        if info == "is_readable":
            unasked: bytes = self._reader._buffer  # type: ignore[attr-defined]
            if self._reader.at_eof() or self._writer.is_closing() or unasked:
                return True
            # What has arrived since the loop looked is not in the buffer yet.
            return bool(self._arrivals.poll(0))
        return self._writer.get_extra_info(info)


class Connector:
    """Connects to targets within what is allowed."""

    def __init__(self, allowed: Allowed) -> None:
        self._allowed = allowed
        self._resolver = Resolver()
        self._contexts: dict[str | None, ssl.SSLContext] = {}

    def close(self) -> None:
        """End the threads of lookups."""
        self._resolver.close()

    async def addresses(self, target: Target) -> list[Address]:
        """Return the addresses of a target, all of them allowed; raises PostFailed."""
        if target.address is None:
            found = await self._resolver.addresses(target.host, target.port)
        else:
            found = [target.address]
        for address in found:
            self._check(target, address)
        return found[:ADDRESSES_TRIED_MAX]

    async def connect(
        self, target: Target, addresses: Sequence[Address], ca: str | None
    ) -> tuple[Address, CheckedStream]:
        """Return a connection to one of the addresses, and which; raises PostFailed."""
        context = self._context(ca) if target.scheme == "https" else None
        for address in addresses[:-1]:
            try:
                async with asyncio.timeout(CONNECT_S_MAX):
                    return address, await self._connected(target, address, context)
            except TimeoutError:
                continue
            except PostFailed as failed:
                if failed.failure not in (REFUSED, UNREACHABLE):
                    raise
        return addresses[-1], await self._connected(target, addresses[-1], context)

    async def _connected(
        self, target: Target, address: Address, context: ssl.SSLContext | None
    ) -> CheckedStream:
        connection = await _opened(target, address)
        name = None if context is None else target.host
        try:
            self._check_peer(target, address, connection)
            reader, writer = await asyncio.open_connection(
                sock=connection, ssl=context, server_hostname=name, limit=READ_BYTES
            )
        except BaseException as error:
            connection.close()
            if isinstance(error, ssl.SSLError):
                raise PostFailed(TLS, f"TLS with {target.host} failed: {_tls_reason(error)}") from None
            if isinstance(error, OSError) and not isinstance(error, TimeoutError):
                raise PostFailed(TLS if context else RESET, f"{target.host} closed the connection") from None
            raise
        return CheckedStream(reader, writer)

    def _check(self, target: Target, address: Address) -> None:
        reason = refusal(address, self._allowed)
        if reason is not None:
            where = target.host if str(address) == target.host else f"{target.host} ({address})"
            message = f"{where} {reason}. {SETTING_NETWORKS} does not allow it"
            raise PostFailed(FORBIDDEN_ADDRESS, message)

    def _check_peer(self, target: Target, address: Address, connection: socket.socket) -> None:
        peer = address_of(str(connection.getpeername()[0]))
        self._check(target, peer)
        if peer == address_of(str(connection.getsockname()[0])) and not is_listed(peer, self._allowed):
            # Its public address: what else listens on it need not be for everybody.
            message = f"{target.authority()} is this machine. {SETTING_NETWORKS} does not allow it"
            raise PostFailed(FORBIDDEN_ADDRESS, message)
        if peer != address:
            raise PostFailed(FORBIDDEN_ADDRESS, f"{target.host} led to {peer} in the place of {address}")

    def _context(self, ca: str | None) -> ssl.SSLContext:
        context = self._contexts.get(ca)
        if context is None:
            if len(self._contexts) >= CONTEXTS_MAX:
                self._contexts.pop(next(iter(self._contexts)))
            context = self._contexts[ca] = tls_context(ca)
        return context


def tls_context(ca: str | None) -> ssl.SSLContext:
    """Return how certificates are checked: against one's own authority (PEM), or against the public ones.

    Raises PostFailed for a text that has no certificate.
    """
    try:
        context = ssl.create_default_context(cadata=ca)
    except (ssl.SSLError, ValueError) as error:
        raise PostFailed(TLS, f"The ca has no valid certificate: {error}") from None
    if ca is None:
        context.load_verify_locations(certifi.where())
    context.set_alpn_protocols(["http/1.1"])
    return context


async def _opened(target: Target, address: Address) -> socket.socket:
    family = socket.AF_INET if address.version == 4 else socket.AF_INET6
    connection = socket.socket(family, socket.SOCK_STREAM)
    try:
        connection.setblocking(False)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        await asyncio.get_running_loop().sock_connect(connection, (str(address), target.port))
    except BaseException as error:
        connection.close()
        if isinstance(error, ConnectionRefusedError):
            raise PostFailed(REFUSED, f"{target.authority()} ({address}) refused the connection") from None
        if isinstance(error, OSError) and not isinstance(error, TimeoutError):
            raise PostFailed(
                UNREACHABLE, f"{target.authority()} ({address}) cannot be reached: {error}"
            ) from None
        raise
    return connection


def _tls_reason(error: ssl.SSLError) -> str:
    return getattr(error, "verify_message", None) or error.reason or str(error)
