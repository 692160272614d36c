"""Which pages of other origins may read the API in a browser (CORS): none, unless the setting lists them.

Origins are compared whole. Cookies are not used, so credentials are never allowed: a page sends the token
that its user gave it. A preflight of a listed origin is answered here, and not counted: it has no token, and
each request of a page would use up the limit of its address.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

from serve_app.edge.headers import ACCESS_CONTROL_REQUEST_METHOD, ORIGIN, Header

MAX_AGE_S: Final = 600
_VARY: Final[Header] = (b"vary", b"Origin")
_EXPOSED: Final[Header] = (
    b"access-control-expose-headers",
    b"X-Request-ID, X-Helix-Seq, Location, Retry-After, X-RateLimit-Limit, X-RateLimit-Remaining, "
    b"X-RateLimit-Reset, RateLimit, RateLimit-Policy, X-Helix-Log-Cut-Bytes",
)
_PREFLIGHT: Final[tuple[Header, ...]] = (
    (b"access-control-allow-methods", b"GET, POST, PUT, PATCH, DELETE"),
    (
        b"access-control-allow-headers",
        b"Authorization, Content-Type, Idempotency-Key, Last-Event-ID, X-Request-ID",
    ),
    (b"access-control-max-age", b"%d" % MAX_AGE_S),
)


class Cors:
    """The listed origins."""

    def __init__(self, origins: Iterable[str] = ()) -> None:
        self._origins = frozenset(origin.encode("ascii") for origin in origins)

    def headers(self, seen: Mapping[bytes, bytes]) -> list[Header]:
        """Return the headers of a response; none where no origin is listed."""
        if not self._origins:
            return []
        origin = seen.get(ORIGIN)
        if origin not in self._origins or origin is None:
            # A cache must not give this response to a page that may read it.
            return [_VARY]
        return [_VARY, (b"access-control-allow-origin", origin), _EXPOSED]

    def preflight(self, method: str, seen: Mapping[bytes, bytes]) -> tuple[Header, ...] | None:
        """Return what a preflight of a listed origin is answered beside `headers`; None for all else."""
        asks = method == "OPTIONS" and ACCESS_CONTROL_REQUEST_METHOD in seen
        return _PREFLIGHT if asks and seen.get(ORIGIN) in self._origins else None
