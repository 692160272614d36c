"""What stands round Serve's own ASGI layer on the public port, so that a caller meets our API and nothing of Serve's.

Serve imports `middlewares` in every process of its that listens (RAY_SERVE_HTTP_PROXY_CALLBACK_IMPORT_PATH), and puts
what it returns outermost. It must therefore work without the application and without Ray being connected.
"""

from __future__ import annotations

from starlette.middleware import Middleware
from starlette.types import ASGIApp, Receive, Scope, Send

from helix_ray.core.errors import not_found
from serve_app.edge.request_id import choose
from serve_app.problems import envelope
from serve_app.public_port import listening, serve_seams

REQUEST_ID = b"x-request-id"
# Serve obeys these: a caller could make it answer 408 in plain text, or keep it working after hanging up.
SERVE_HEADERS = frozenset(
    {b"x-request-timeout-seconds", b"x-request-disconnect-disabled", b"serve_multiplexed_model_id"}
)
SERVE_PATHS = frozenset({"/-/healthz", "/-/routes"})


class PublicPort:
    """Takes Serve's control headers out, hides its own paths, and names the request before Serve does."""

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

        await self._app(scope, receive, send)


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
    serve_seams.check()
    serve_seams.start_servers_with(replica=listening.start_replica, proxy=listening.start)
    if serve_seams.in_proxy():
        serve_seams.bind_proxy_to_loopback()
        return [Middleware(ClosedPort)]
    serve_seams.bind_replica_calls_to_loopback()
    return [Middleware(PublicPort)]


def guards() -> list[Middleware]:
    """Return nothing, and have Serve's proxy listen as we do: for `serve run` and KubeRay, where the proxy is the way in."""
    serve_seams.check()
    serve_seams.start_servers_with(replica=listening.start, proxy=listening.start)
    return []
