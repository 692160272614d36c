"""What stands round Serve's own ASGI layer on the public port, so that a caller meets our API and nothing of Serve's.

Serve imports `middlewares` in every process of its that listens (RAY_SERVE_HTTP_PROXY_CALLBACK_IMPORT_PATH), and puts
what it returns outermost. It must therefore work without the application and without Ray being connected.
"""

from __future__ import annotations

import importlib
import socket
from typing import Any

from starlette.middleware import Middleware
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from helix_ray.core.errors import ErrorCode, Rejected, not_found
from serve_app.edge.request_id import choose
from serve_app.problems import envelope

REQUEST_ID = b"x-request-id"
# Serve obeys these: a caller could make it answer 408 in plain text, or keep it working after hanging up.
SERVE_HEADERS = frozenset(
    {b"x-request-timeout-seconds", b"x-request-disconnect-disabled", b"serve_multiplexed_model_id"}
)
SERVE_PATHS = frozenset({"/-/healthz", "/-/routes"})


class PublicPort:
    """Takes Serve's control headers out, hides its own paths, and leaves one X-Request-ID in every answer."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        scope["headers"] = _headers(scope["headers"])
        if not scope["path"].startswith("/"):
            # `OPTIONS *` and the like: Serve would answer by itself, naming a path of its own.
            scope["path"] = f"/{scope['path']}"
        if scope["path"] in SERVE_PATHS:
            # No route of ours ends in a slash, so the application answers 404 as for every unknown path.
            scope["path"] += "/"

        async def send_once(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = _without_second_id(message["headers"])
            await send(message)

        await self._app(scope, receive, send_once)


def _headers(sent: list[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
    """Return the headers that may pass, with our request id in place: Serve would make one of its own otherwise."""
    kept = []
    request_id = None
    for header in sent:
        if header[0] == REQUEST_ID:
            request_id = header[1]
        elif header[0] not in SERVE_HEADERS:
            kept.append(header)
    kept.append((REQUEST_ID, choose(request_id).encode()))
    return kept


def _without_second_id(headers: Any) -> list[tuple[bytes, bytes]]:
    """Drop the X-Request-ID that Serve appends after the application's own."""
    found = list(headers)
    if len(found) > 1 and found[-1][0] == REQUEST_ID and any(name == REQUEST_ID for name, _ in found[:-1]):
        found.pop()
    return found


class ClosedPort:
    """Refuses everything: Serve starts a proxy that `helix up` has no use for."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        request_id = choose(None)
        body = envelope(not_found("Path", scope["path"]), request_id)
        headers = [
            (b"content-type", b"application/json"),
            (b"content-length", str(len(body)).encode()),
            (REQUEST_ID, request_id.encode()),
        ]
        await send({"type": "http.response.start", "status": 404, "headers": headers})
        await send({"type": "http.response.body", "body": body})


def middlewares() -> list[Middleware]:
    """Return what this process puts round Serve: its proxy is closed, a replica is the API; other ports move to loopback."""
    if _is_proxy():
        _bind_proxy_to_loopback()
        return [Middleware(ClosedPort)]
    _answer_malformed_requests()
    _bind_replica_again_after_crash()
    _bind_replica_calls_to_loopback()
    return [Middleware(PublicPort)]


def _is_proxy() -> bool:
    import ray
    from ray.serve._private.constants import SERVE_PROXY_NAME

    return str(ray.get_runtime_context().get_actor_name()).startswith(SERVE_PROXY_NAME)


def _bind_proxy_to_loopback() -> None:
    """Serve has one host for replicas and proxy; the proxy must not be where the public port is."""
    proxy: Any = importlib.import_module("ray.serve._private.proxy")
    start = proxy.start_asgi_http_server

    def start_on_loopback(app: ASGIApp, http_options: Any, **options: Any) -> Any:
        return start(app, http_options.model_copy(update={"host": "127.0.0.1", "port": 0}), **options)

    proxy.start_asgi_http_server = start_on_loopback


def _answer_malformed_requests() -> None:
    """Give uvicorn's own answer to what is not HTTP our form, and take an upgrade to WebSocket for a plain request."""

    def refuse(self: Any, message: str) -> None:
        request_id = choose(None)
        body = envelope(Rejected(ErrorCode.VALIDATION_ERROR, "Malformed HTTP request"), request_id)
        head = (
            f"HTTP/1.1 400 Bad Request\r\ncontent-type: application/json\r\ncontent-length: {len(body)}\r\n"
            f"x-request-id: {request_id}\r\nx-content-type-options: nosniff\r\nconnection: close\r\n\r\n"
        )
        self.transport.write(head.encode() + body)
        self.transport.close()

    protocol: Any = HttpToolsProtocol
    protocol.send_400_response = refuse
    protocol._should_upgrade = lambda self: False


def _bind_replica_again_after_crash() -> None:
    """Let a replica listen where its killed predecessor's connections linger in TIME_WAIT: a minute, otherwise.

    Serve offers SO_REUSEPORT at this place, which would let a hanging predecessor keep half of the callers.
    """
    http_util: Any = importlib.import_module("ray.serve._private.http_util")
    replica: Any = importlib.import_module("ray.serve._private.replica")
    start = http_util.start_asgi_http_server

    def start_again(app: ASGIApp, http_options: Any, **options: Any) -> Any:
        return start(app, http_options, **options | {"enable_so_reuseport": True})

    def reuse_address(listener: socket.socket) -> None:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)

    http_util.set_socket_reuse_port = reuse_address
    replica.start_asgi_http_server = start_again


def _bind_replica_calls_to_loopback() -> None:
    """A replica takes calls from other deployments on every interface; the API has no such callers."""
    replica: Any = importlib.import_module("ray.serve._private.replica")
    add_port = replica.add_port_to_grpc_server
    replica.add_port_to_grpc_server = lambda server, address: add_port(server, "127.0.0.1:0")
