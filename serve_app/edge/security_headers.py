"""Response headers that tell browsers and caches to be careful."""

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
    """The headers to add: never store an API answer, unless the route itself said how long it may be kept."""
    if path.startswith(API_PREFIX) and not any(name.lower() == NO_STORE[0] for name, _ in headers):
        return (*ALWAYS, NO_STORE)
    return ALWAYS
