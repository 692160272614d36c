"""The edge's headers for responses to input that never becomes a request, which the connection answers."""

from __future__ import annotations

from helix_ray.core.limits import ANONYMOUS
from helix_ray.core.networks import network_of
from serve_app.edge.headers import Header
from serve_app.edge.rate_limit import Admission, Limiter
from serve_app.edge.security_headers import NO_STORE, for_connection

_limiters: list[Limiter] = []


def look_at(limiter: Limiter) -> None:
    """Set the limiter that the rate-limit headers come from, of the process's only application."""
    _limiters[:] = [limiter]


def headers_for(host: str, scheme: str | None = None) -> list[Header]:
    """Return the headers for a client; the rate limits are reported as known here, without counting."""
    found: list[Header] = [*for_connection(scheme), NO_STORE]
    for limiter in _limiters:
        found += Admission(((ANONYMOUS.name, limiter.peek(network_of(host), ANONYMOUS.name)),)).headers()
    return found
