"""Replaces Serve's ASGI layer on the public port, so that clients reach our API and nothing of Serve's.

Requests bypass Serve: the replica's application itself answers requests to the replica's port. Serve starts,
checks and replaces the replica, but its wrapper (tasks, metadata, metrics and a route lookup for each
request) would cost more than the response. Two things that the wrapper does are done here: requests of
clients that are gone are cancelled (connection.py), and a replica that ends finishes requests under way
(uvicorn's server). ADR 38.

Serve imports `middlewares` in each of its listening processes (RAY_SERVE_HTTP_PROXY_CALLBACK_IMPORT_PATH),
and makes what it returns the outermost layer. So this module must be importable without the application, and
without a connection to Ray.
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
    """Answer this process's public port with an application made for its event loop."""
    _made[:] = [app]


def public_port(serve: ASGIApp) -> ASGIApp:
    """Return the application of this process, which exists before Serve listens."""
    return _made[0]


class ClosedPort:
    """Refuses everything: Serve always starts a proxy, which `helix up` does not use."""

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
    """Return Serve's middlewares: in the proxy a closed port, in a replica the API;
    other ports move to loopback."""
    serve_seams.check()
    serve_seams.start_servers_with(replica=listening.start_replica, proxy=listening.start)
    if serve_seams.in_proxy():
        serve_seams.bind_proxy_to_loopback()
        return [Middleware(ClosedPort)]
    serve_seams.bind_replica_calls_to_loopback()
    return [Middleware(public_port)]


def guards() -> list[Middleware]:
    """Make Serve's proxy listen with our limits, without middlewares: for `serve run` and KubeRay, where
    requests come through the proxy."""
    serve_seams.check()
    serve_seams.start_servers_with(replica=listening.start, proxy=listening.start)
    return []
