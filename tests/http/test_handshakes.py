"""TLS handshakes that are not finished, or dropped: they keep nobody out, and nothing stays open."""

from __future__ import annotations

import asyncio
import contextlib
import os
import resource
import socket
import ssl
from collections.abc import Callable
from pathlib import Path

import pytest

from serve_app.public_port import acceptor


def echoing() -> tuple[Callable[[], asyncio.Protocol], asyncio.Event]:
    """Return a maker of protocols that send one byte back and close, and the event that one of them has."""
    ended = asyncio.Event()

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(await reader.readexactly(1))
        await closed(writer)
        ended.set()

    return lambda: asyncio.StreamReaderProtocol(asyncio.StreamReader(), answer), ended


async def closed(writer: asyncio.StreamWriter) -> None:
    """Close a stream, and wait until its socket is closed too."""
    writer.close()
    with contextlib.suppress(OSError):
        await writer.wait_closed()


async def end(
    accepting: acceptor.Acceptor,
    writer: asyncio.StreamWriter,
    ended: asyncio.Event,
    silent: list[socket.socket],
) -> None:
    """Close all of a scene, from the client that was let in to the acceptor."""
    await closed(writer)
    await ended.wait()
    accepting.close()
    for client in silent:
        client.close()
    await accepting.wait_closed()


def context_of(certificate: tuple[Path, Path]) -> ssl.SSLContext:
    """Return what a server with a certificate and its key speaks TLS with."""
    made = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    made.load_cert_chain(*certificate)
    return made


def test_a_client_that_is_dropped_at_once_is_closed(certificate: tuple[Path, Path]) -> None:
    """Its handshake is cancelled before its first step: its socket is closed all the same."""
    server_side = context_of(certificate)

    async def scene(listener: socket.socket) -> None:
        make, _ = echoing()
        accepting = acceptor.Acceptor(listener, make, lambda: server_side, shared=False, shut=lambda: None)
        with socket.create_connection(listener.getsockname()) as client:
            client.setblocking(False)
            # Two steps of the loop's own in one: accept, and drop before the handshake's task runs.
            accepting._accept_one()
            accepting._drop_handshakes(1)
            assert await asyncio.get_running_loop().sock_recv(client, 1) == b""
        accepting.close()
        await accepting.wait_closed()

    with socket.create_server(("127.0.0.1", 0)) as listener:
        asyncio.run(asyncio.wait_for(scene(listener), 60))


def test_handshakes_that_are_not_finished_keep_nobody_out(
    certificate: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Beyond their number the oldest ends: who connects and speaks TLS is let in."""
    monkeypatch.setattr(acceptor, "HANDSHAKES_MAX", 20)
    server_side = context_of(certificate)
    listener = socket.create_server(("127.0.0.1", 0), backlog=20)
    place = listener.getsockname()

    async def scene() -> None:
        loop = asyncio.get_running_loop()
        make, ended = echoing()

        accepting = acceptor.Acceptor(listener, make, lambda: server_side, shared=False, shut=lambda: None)
        silent = [socket.create_connection(place) for _ in range(20)]
        trusting = ssl.create_default_context(cafile=str(certificate[0]))
        reader, writer = await asyncio.open_connection(*place, ssl=trusting, server_hostname="127.0.0.1")
        writer.write(b"x")
        assert await reader.readexactly(1) == b"x"
        silent[0].setblocking(False)
        assert await loop.sock_recv(silent[0], 1) == b""
        await end(accepting, writer, ended, silent)

    asyncio.run(asyncio.wait_for(scene(), 60))
    listener.close()


def test_without_file_handles_unfinished_handshakes_make_room(certificate: tuple[Path, Path]) -> None:
    """With no handle left for whoever comes next, half of those who have not finished
    their handshake end at once."""
    server_side = context_of(certificate)
    listener = socket.create_server(("127.0.0.1", 0), backlog=20)
    place = listener.getsockname()
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)

    def open_files() -> int:
        return len(os.listdir("/proc/self/fd"))

    async def scene() -> None:
        make, ended = echoing()
        accepting = acceptor.Acceptor(listener, make, lambda: server_side, shared=False, shut=lambda: None)
        before = open_files()
        silent = [socket.create_connection(place) for _ in range(10)]
        while open_files() < before + 2 * len(silent):
            await asyncio.sleep(0)  # a turn of the loop, in which it accepts
        next_client = socket.create_connection(place)
        free = os.dup(0)
        os.close(free)
        resource.setrlimit(resource.RLIMIT_NOFILE, (free, hard))
        trusting = ssl.create_default_context(cadata=certificate_text)
        reader, writer = await asyncio.open_connection(
            sock=next_client, ssl=trusting, server_hostname="127.0.0.1"
        )
        writer.write(b"x")
        assert await reader.readexactly(1) == b"x"
        await end(accepting, writer, ended, silent)

    certificate_text = certificate[0].read_text()
    try:
        asyncio.run(asyncio.wait_for(scene(), acceptor.HANDSHAKE_S_MAX / 2))
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        listener.close()
