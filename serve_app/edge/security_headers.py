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


def for_answer(path: str, headers: Iterable[Header]) -> tuple[Header, ...]:
    """Return the headers to add; API responses are `no-store` unless the route set its own Cache-Control."""
    if path.startswith(API_PREFIX) and not any(name.lower() == NO_STORE[0] for name, _ in headers):
        return (*ALWAYS, NO_STORE)
    return ALWAYS
