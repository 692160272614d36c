"""How a request to a receiver ended."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Final, NamedTuple, Protocol

SETTING_NETWORKS: Final = "HELIX_WEBHOOK_ALLOW_NETWORKS"
SETTING_HTTP: Final = "HELIX_WEBHOOK_ALLOW_HTTP"

# Of a response's body.
RESPONSE_BYTES_KEPT: Final = 4096

# Classes of failure.
URL: Final = "url"  # not a URL that may be asked
REQUEST: Final = "request"  # its headers are not those of HTTP
DNS: Final = "dns"
FORBIDDEN_ADDRESS: Final = "forbidden_address"
REFUSED: Final = "refused"
UNREACHABLE: Final = "unreachable"
TLS: Final = "tls"
TIMEOUT: Final = "timeout"
RESET: Final = "reset"  # closed without a whole head of a response
PROTOCOL: Final = "protocol"  # not HTTP
REDIRECT: Final = "redirect"
HTTP_4XX: Final = "http_4xx"
HTTP_5XX: Final = "http_5xx"
HALF_BODY: Final = "half_body"
TOO_LARGE: Final = "too_large"
FAILURES: Final = (
    URL, REQUEST, DNS, FORBIDDEN_ADDRESS, REFUSED, UNREACHABLE, TLS, TIMEOUT, RESET, PROTOCOL, REDIRECT,
    HTTP_4XX, HTTP_5XX, HALF_BODY, TOO_LARGE,
)  # fmt: skip


class PostOutcome(NamedTuple):
    """How one request ended.

    `failure` is its class (one of FAILURES), None for a success, and `reason` a sentence; `body` is the
    beginning of the response, `address` where it was sent.
    """

    status: int | None
    failure: str | None
    reason: str
    headers: tuple[tuple[str, str], ...]
    body: bytes
    seconds: float
    address: str | None
    retry_after_s: float | None


class PostFailed(Exception):
    """A request that ended without a response; its arguments are the class of failure and the reason."""

    def __init__(self, failure: str, reason: str) -> None:
        super().__init__(failure, reason)
        self.failure = failure
        self.reason = reason


class Post(Protocol):
    """Sends one request."""

    async def __call__(
        self,
        url: str,
        body: bytes,
        headers: Mapping[str, str],
        *,
        timeout_s: float,
        ca: str | None = None,
        limit: asyncio.Timeout | None = None,
    ) -> PostOutcome:
        """Return how it ended; never raises for failures of the network.

        It ends after `timeout_s`, or when `limit` does, which the caller moves as it likes.
        """
        ...
