"""The edge's headers for answers to what never becomes a request: they are given below the application."""

from __future__ import annotations

from helix_ray.core.limits import ANONYMOUS
from serve_app.edge.client_address import key_of
from serve_app.edge.headers import Header
from serve_app.edge.rate_limit import Admission, Limiter
from serve_app.edge.security_headers import ALWAYS, NO_STORE

_limiters: list[Limiter] = []


def look_at(limiter: Limiter) -> None:
    """Take the rate-limit headers from this limiter: of the one application of this process."""
    _limiters[:] = [limiter]


def headers_for(host: str) -> list[Header]:
    """Return the headers for a client; those of rate limits say what is known
    here, and nothing is counted."""
    found: list[Header] = [*ALWAYS, NO_STORE]
    for limiter in _limiters:
        found += Admission(((ANONYMOUS.name, limiter.peek(key_of(host), ANONYMOUS.name)),)).headers()
    return found
