"""Replaces Serve's ASGI layer on the public port, so that clients reach our API and nothing of Serve's.

Requests bypass Serve: the replica's application itself answers requests to the replica's port. Serve starts,
checks and replaces the replica, but its wrapper (tasks, metadata, metrics and a route lookup for each
request) would cost more than the response. Two things that the wrapper does are done here: requests of
clients that are gone are cancelled (connection.py), and a replica that ends finishes requests under way
(uvicorn's server). ADR 38.

Serve imports `middlewares` in each replica (RAY_SERVE_HTTP_PROXY_CALLBACK_IMPORT_PATH), and makes what it
returns the outermost layer. So this module must be importable without the application, and
without a connection to Ray.
"""

from __future__ import annotations

from starlette.middleware import Middleware
from starlette.types import ASGIApp

from serve_app.public_port import listening, serve_seams

_made: list[ASGIApp] = []


def answer_with(app: ASGIApp) -> None:
    """Answer this process's public port with an application made for its event loop."""
    _made[:] = [app]


def public_port(serve: ASGIApp) -> ASGIApp:
    """Return the application of this process, which exists before Serve listens."""
    return _made[0]


def middlewares() -> list[Middleware]:
    """Return the middlewares of a replica, which answer with the API; its other port moves to loopback."""
    serve_seams.check()
    serve_seams.start_replicas_with(listening.start_replica)
    serve_seams.bind_replica_calls_to_loopback()
    return [Middleware(public_port)]


def guards() -> list[Middleware]:
    """Make Serve's proxy listen with our limits, without middlewares: for `serve run` and KubeRay, where
    requests come through the proxy."""
    serve_seams.check()
    serve_seams.start_replicas_with(listening.start)
    serve_seams.start_proxies_with(listening.start)
    return []
