"""A small ASGI application for tests of `helix up` itself: what Serve passes through,
without the control plane."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys

import orjson
from starlette.types import ASGIApp, Receive, Scope, Send

from helix_ray.config import Settings

# From the first piece of the stream to the last.
STREAM_S = 1.0


def app(settings: Settings) -> ASGIApp:
    """Build it on the replica, as the real one is."""

    async def answer(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await _live(receive, send)
        elif scope["type"] == "http":
            await PATHS.get(scope["path"], _unknown)(scope, receive, send)

    return answer


async def _live(receive: Receive, send: Send) -> None:
    while True:
        message = await receive()
        await send({"type": f"{message['type']}.complete"})
        if message["type"] == "lifespan.shutdown":
            return


async def _respond(
    send: Send, status: int, body: bytes, headers: list[tuple[bytes, bytes]] | None = None
) -> None:
    length = (b"content-length", str(len(body)).encode())
    await send({"type": "http.response.start", "status": status, "headers": [length, *(headers or [])]})
    await send({"type": "http.response.body", "body": body})


async def _hello(scope: Scope, receive: Receive, send: Send) -> None:
    await _respond(send, 200, b"hello")


async def _seen(scope: Scope, receive: Receive, send: Send) -> None:
    """Say what the application was told about the request, and who runs it."""
    headers = {name.decode(): value.decode() for name, value in scope["headers"]}
    seen = {"client": scope["client"], "scheme": scope["scheme"], "headers": headers, "pid": os.getpid()}
    password = "HELIX_ADMIN_PASSWORD" in os.environ
    await _respond(send, 200, orjson.dumps(seen | {"password_in_environment": password}))


async def _refused(scope: Scope, receive: Receive, send: Send) -> None:
    headers = [(b"content-type", b"application/json"), (b"x-request-id", b"req-ours"), (b"retry-after", b"7")]
    await _respond(send, 429, b'{"error":{"code":"RATE_LIMITED"}}', headers)


async def _stream(scope: Scope, receive: Receive, send: Send) -> None:
    headers = [(b"content-type", b"text/event-stream")]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    for number in range(3):
        await send({"type": "http.response.body", "body": b"data: %d\n\n" % number, "more_body": True})
        await asyncio.sleep(STREAM_S / 2)
    await send({"type": "http.response.body", "body": b""})


async def _echo(scope: Scope, receive: Receive, send: Send) -> None:
    body = b""
    while True:
        message = await receive()
        body += message.get("body", b"")
        if not message.get("more_body", False):
            break
    await _respond(send, 200, body)


DAEMON = """
import os, signal
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        print(os.getpid(), flush=True)
        os.close(1)
        signal.pause()
"""


async def _daemon(scope: Scope, receive: Receive, send: Send) -> None:
    """Start a process that leaves its parent, session and environment behind; answer with its pid."""
    command = [sys.executable, "-c", DAEMON]
    done = await asyncio.to_thread(subprocess.run, command, stdout=subprocess.PIPE, env={}, check=True)
    await _respond(send, 200, done.stdout.strip())


async def _unknown(scope: Scope, receive: Receive, send: Send) -> None:
    await _respond(send, 404, b'{"error":{"code":"NOT_FOUND"}}')


PATHS = {
    "/readyz": _hello,
    "/hello": _hello,
    "/seen": _seen,
    "/refused": _refused,
    "/stream": _stream,
    "/echo": _echo,
    "/daemon": _daemon,
}
