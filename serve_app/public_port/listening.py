"""Listens on the public port, in place of Serve's own function."""

from __future__ import annotations

import asyncio
import logging
import os
import socket
from typing import Any

import uvicorn
from starlette.types import ASGIApp

from helix_ray.environment import read_settings
from serve_app.public_port import shared_socket
from serve_app.public_port.acceptor import Acceptor
from serve_app.public_port.certificate_record import recording
from serve_app.public_port.certificates import Certificates, CertificateUnusable, TlsFiles
from serve_app.public_port.connection import protocol
from serve_app.public_port.limits import ConnectionLimits
from serve_app.public_port.shared_socket import SignsOfLife


async def start(
    app: ASGIApp,
    http_options: Any,
    *,
    event_loop: asyncio.AbstractEventLoop,
    enable_so_reuseport: bool = False,
) -> tuple[asyncio.Task[None], uvicorn.Server]:
    """Listen on Serve's host and port; return the serving task, and the server that ends it (`should_exit`).

    Raises RuntimeError, caused by the OSError, where the address cannot be bound; Serve expects that.
    """
    return _serve(app, http_options, event_loop, _bind(http_options.host, http_options.port), None)


async def start_replica(
    app: ASGIApp,
    http_options: Any,
    *,
    event_loop: asyncio.AbstractEventLoop,
    enable_so_reuseport: bool = False,
) -> tuple[asyncio.Task[None], uvicorn.Server]:
    """Listen on the launcher's public socket; without a launcher, on Serve's host and port.

    With a launcher, the port that Serve assigned to this replica is only a name: nothing listens on it.
    """
    path = os.environ.get(shared_socket.VARIABLE)
    if path is None:
        return await start(app, http_options, event_loop=event_loop)
    return _serve(app, http_options, event_loop, *shared_socket.fetch(path))


def _serve(
    app: ASGIApp,
    http_options: Any,
    loop: asyncio.AbstractEventLoop,
    listener: socket.socket,
    lifeline: socket.socket | None,
) -> tuple[asyncio.Task[None], uvicorn.Server]:
    # Without this level uvicorn logs every message of every request.
    logging.getLogger("uvicorn.error").level = logging.CRITICAL
    config = _config(_wrapped(app, http_options.middlewares), http_options, loop)
    try:
        server = PortServer(config, lifeline, _certificates(http_options, loop))
    except CertificateUnusable as refused:
        listener.close()
        raise RuntimeError(f"cannot use the certificate: {refused}") from refused
    return loop.create_task(server.serve(sockets=[listener])), server


class PortServer(uvicorn.Server):
    """uvicorn's server, which accepts with an Acceptor and sends signs of life."""

    def __init__(
        self,
        config: uvicorn.Config,
        lifeline: socket.socket | None = None,
        certificates: Certificates | None = None,
    ) -> None:
        super().__init__(config)
        self._lifeline = lifeline
        self._certificates = certificates
        self._watch: asyncio.Task[None] | None = None
        self._signs: SignsOfLife | None = None

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start to accept from `sockets`."""
        await self.lifespan.startup()
        loop = asyncio.get_running_loop()
        for listener in sockets or ():
            listener.listen(self.config.backlog)
        held = self._certificates
        tls = held.context if held is not None else None
        self.servers = [
            Acceptor(  # type: ignore[misc]  # has what uvicorn calls
                listener, self._protocol, tls, shared=self._lifeline is not None, shut=self._end
            )
            for listener in sockets or ()
        ]
        if held is not None:
            self._watch = loop.create_task(held.watch())
        if self._lifeline is not None:
            self._signs = SignsOfLife(self._lifeline, loop)
        self.started = True

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Stop accepting, finish requests under way, and only then stop the signs of life."""
        try:
            await super().shutdown(sockets)
        finally:
            if self._watch is not None:
                self._watch.cancel()
            if self._signs is not None:
                self._signs.close()

    def _end(self) -> None:
        self.should_exit = True

    def _protocol(self) -> asyncio.Protocol:
        made: asyncio.Protocol = self.config.http_protocol_class(
            config=self.config,  # type: ignore[call-arg]
            server_state=self.server_state,
            app_state=self.lifespan.state,
        )
        return made


def _config(app: ASGIApp, options: Any, loop: asyncio.AbstractEventLoop) -> uvicorn.Config:
    return uvicorn.Config(
        lambda: app,
        factory=True,
        host=options.host,
        port=options.port,
        root_path=options.root_path,
        loop=loop,  # type: ignore[arg-type]  # Serve's own way: the loop runs already
        # uvicorn takes any factory of protocols.
        http=protocol(ConnectionLimits.of(read_settings())),  # type: ignore[arg-type]
        ws="none",
        # The program that serves is nobody's business: its kind says which attacks to try.
        server_header=False,
        lifespan="off",
        access_log=False,
        # The edge decides whose X-Forwarded-For is trusted.
        proxy_headers=False,
        log_level=None,
        log_config=None,
    )


def _certificates(options: Any, loop: asyncio.AbstractEventLoop) -> Certificates | None:
    """Return the certificate of Serve's options; None: the port speaks plain HTTP."""
    if not (options.ssl_keyfile and options.ssl_certfile):
        return None
    files = TlsFiles(
        options.ssl_certfile, options.ssl_keyfile, options.ssl_ca_certs or None,
        options.ssl_keyfile_password or None,
    )  # fmt: skip
    return Certificates(files, recording(loop))


def _wrapped(app: ASGIApp, middlewares: list[Any]) -> ASGIApp:
    for middleware in middlewares:
        app = middleware.cls(app, *middleware.args, **middleware.kwargs)
    return app


def _bind(host: str, port: int) -> socket.socket:
    """Bind with SO_REUSEADDR: a killed predecessor's connections stay in TIME_WAIT for a minute.

    Serve uses SO_REUSEPORT here, with which a hanging predecessor would keep half of the connections.
    """
    listener = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
    except OSError as error:
        listener.close()
        raise RuntimeError(f"cannot listen on {host}:{port}: {error.strerror}") from error
    return listener
