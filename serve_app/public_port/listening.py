"""How the public port is listened on: what Serve's processes do in place of Serve's own function."""

from __future__ import annotations

import asyncio
import logging
import socket
from typing import Any

import uvicorn
from starlette.types import ASGIApp

from helix_ray.config import Settings
from serve_app.public_port.connection import protocol
from serve_app.public_port.limits import ConnectionLimits


async def start(
    app: ASGIApp,
    http_options: Any,
    *,
    event_loop: asyncio.AbstractEventLoop,
    enable_so_reuseport: bool = False,
) -> tuple[asyncio.Task[None], uvicorn.Server]:
    """Listen as Serve's options say; return the task that serves, and the server that ends it (`should_exit`).

    Raises RuntimeError, caused by the OSError, where the address cannot be bound: Serve looks for that.
    """
    listener = _bind(http_options.host, http_options.port)
    # uvicorn logs every message of every request while this level is not set.
    logging.getLogger("uvicorn.error").level = logging.CRITICAL
    server = uvicorn.Server(_config(_wrapped(app, http_options.middlewares), http_options, event_loop))
    return event_loop.create_task(server.serve(sockets=[listener])), server


def _config(app: ASGIApp, options: Any, loop: asyncio.AbstractEventLoop) -> uvicorn.Config:
    files: dict[str, Any] = {}
    if options.ssl_keyfile and options.ssl_certfile:
        files = {"ssl_keyfile": options.ssl_keyfile, "ssl_certfile": options.ssl_certfile}
        files |= (
            {"ssl_keyfile_password": options.ssl_keyfile_password} if options.ssl_keyfile_password else {}
        )
        files |= {"ssl_ca_certs": options.ssl_ca_certs} if options.ssl_ca_certs else {}
    return uvicorn.Config(
        lambda: app,
        factory=True,
        host=options.host,
        port=options.port,
        root_path=options.root_path,
        timeout_keep_alive=options.keep_alive_timeout_s,
        loop=loop,  # type: ignore[arg-type]  # Serve's own way: the loop runs already
        http=protocol(ConnectionLimits.of(Settings())),  # type: ignore[arg-type]  # any maker of protocols
        ws="none",
        lifespan="off",
        access_log=False,
        log_level=None,
        log_config=None,
        **files,
    )


def _wrapped(app: ASGIApp, middlewares: list[Any]) -> ASGIApp:
    for middleware in middlewares:
        app = middleware.cls(app, *middleware.args, **middleware.kwargs)
    return app


def _bind(host: str, port: int) -> socket.socket:
    """Bind where a killed predecessor's connections may linger in TIME_WAIT: a minute, without SO_REUSEADDR.

    Serve offers SO_REUSEPORT at this place, which would let a hanging predecessor keep half of the callers.
    """
    listener = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
    except OSError as error:
        listener.close()
        raise RuntimeError(f"cannot listen on {host}:{port}: {error.strerror}") from error
    return listener
