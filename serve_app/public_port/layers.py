"""What stands in the place of Serve's own ASGI layer on the public port, so that a caller meets our
API and nothing of Serve's.

Requests pass Serve by: a replica's application, once it is made, answers what comes to the replica's port
itself. Serve makes, checks and replaces the replica; its wrapper (tasks, metadata, metrics and a route lookup
a request) would cost more than the answer. What it did for us is done here: a request whose client is gone is
cancelled (connection.py), and a replica that ends finishes what it has begun (uvicorn's server). ADR 38.

Serve imports `middlewares` in every process of its that listens
(RAY_SERVE_HTTP_PROXY_CALLBACK_IMPORT_PATH), and puts what it returns outermost. It must therefore be
importable without the application and without Ray being connected.
"""

from __future__ import annotations

from starlette.middleware import Middleware
from starlette.types import ASGIApp, Receive, Scope, Send

from helix_ray.core.errors import not_found
from serve_app.edge.request_id import choose
from serve_app.problems import envelope
from serve_app.public_port import listening, serve_seams

REQUEST_ID = b"x-request-id"

_made: list[ASGIApp] = []


def answer_with(app: ASGIApp) -> None:
    """Have this process's public port answered by an application that was made for its event loop."""
    _made[:] = [app]


def public_port(serve: ASGIApp) -> ASGIApp:
    """Return the application of this process in place of Serve, which listens only once it is made."""
    return _made[0]


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
    """Return what this process puts round Serve: its proxy is closed, a replica is the API;
    other ports move to loopback."""
    serve_seams.check()
    serve_seams.start_servers_with(replica=listening.start_replica, proxy=listening.start)
    if serve_seams.in_proxy():
        serve_seams.bind_proxy_to_loopback()
        return [Middleware(ClosedPort)]
    serve_seams.bind_replica_calls_to_loopback()
    return [Middleware(public_port)]


def guards() -> list[Middleware]:
    """Return nothing, and have Serve's proxy listen as we do: for `serve run` and KubeRay, where the
    proxy is the way in."""
    serve_seams.check()
    serve_seams.start_servers_with(replica=listening.start, proxy=listening.start)
    return []
