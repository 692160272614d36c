"""One pass over the request's headers for the few that the edge reads."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

X_REQUEST_ID: Final = b"x-request-id"
X_FORWARDED_FOR: Final = b"x-forwarded-for"
AUTHORIZATION: Final = b"authorization"
CONTENT_LENGTH: Final = b"content-length"
EXPECT: Final = b"expect"
TRACEPARENT: Final = b"traceparent"
ORIGIN: Final = b"origin"
ACCESS_CONTROL_REQUEST_METHOD: Final = b"access-control-request-method"

Header = tuple[bytes, bytes]

_READ: Final = frozenset({
    X_REQUEST_ID, X_FORWARDED_FOR, AUTHORIZATION, CONTENT_LENGTH, EXPECT, ORIGIN,
    ACCESS_CONTROL_REQUEST_METHOD, TRACEPARENT,
})  # fmt: skip
# Two Authorization lines make a list, which is not a token: a proxy in front of us may have
# checked the other one. Nor are two traces one.
_LISTS: Final = frozenset({X_FORWARDED_FOR, AUTHORIZATION, TRACEPARENT})


def pick(headers: Iterable[Header]) -> dict[bytes, bytes]:
    """Return the headers that the edge reads: the first line of each, and all lines of
    _LISTS joined (RFC 9110, 5.3)."""
    picked: dict[bytes, bytes] = {}
    for name, value in headers:
        if name in _READ:
            if name not in picked:
                picked[name] = value
            elif name in _LISTS:
                picked[name] += b"," + value
    return picked
