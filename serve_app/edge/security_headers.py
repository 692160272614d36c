"""Security headers for browsers and caches."""

from __future__ import annotations

from collections.abc import Iterable

from serve_app.edge.headers import Header

API_PREFIX = "/api/"
ALWAYS: tuple[Header, ...] = (
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
)
NO_STORE: Header = (b"cache-control", b"no-store")
# A browser that was here over TLS does not come in clear for a year. Over plain HTTP it would have no effect.
OVER_TLS: tuple[Header, ...] = (*ALWAYS, (b"strict-transport-security", b"max-age=31536000"))
HTTPS = "https"


def for_connection(scheme: str | None) -> tuple[Header, ...]:
    """Return the headers of every response on a connection."""
    return OVER_TLS if scheme == HTTPS else ALWAYS


def for_answer(path: str, headers: Iterable[Header], scheme: str | None = None) -> tuple[Header, ...]:
    """Return the headers to add; API responses are `no-store` unless the route set its own Cache-Control."""
    every = for_connection(scheme)
    if path.startswith(API_PREFIX) and not any(name.lower() == NO_STORE[0] for name, _ in headers):
        return (*every, NO_STORE)
    return every
