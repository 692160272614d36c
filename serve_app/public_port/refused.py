"""Refusals of the public port as bytes: what is refused before it is a request passes no middleware."""

from __future__ import annotations

from http import HTTPStatus

from helix_ray.core.errors import ErrorCode, Rejected
from serve_app.edge.request_id import choose
from serve_app.edge.unparsed import headers_for
from serve_app.problems import STATUS, answer_headers, envelope

RETRY_AFTER_S = 1


def malformed() -> Rejected:
    """Return the refusal of what is not HTTP."""
    return Rejected(ErrorCode.VALIDATION_ERROR, "Malformed HTTP request")


def busy() -> Rejected:
    """Return the refusal of a connection for which there is no room."""
    details = {"retry_after_s": RETRY_AFTER_S}
    return Rejected(ErrorCode.SERVICE_UNAVAILABLE, "Too many connections are open", details)


def head_too_large(limit: str, value: int) -> Rejected:
    """Return the refusal of headers over a limit, which is named."""
    return Rejected(ErrorCode.HEADERS_TOO_LARGE, "The request headers are too large", {limit: value})


def written(rejected: Rejected, host: str, scheme: str | None = None) -> bytes:
    """Return a refusal as a whole HTTP/1.1 response that closes the connection; `host`
    is the client's address."""
    request_id = choose(None)
    body = envelope(rejected, request_id)
    status = HTTPStatus(STATUS[rejected.code])
    headers = [
        (b"content-type", b"application/json"),
        (b"content-length", b"%d" % len(body)),
        (b"connection", b"close"),
        (b"x-request-id", request_id.encode()),
        *answer_headers(rejected),
        *headers_for(host, scheme),
    ]
    lines = b"".join(b"%b: %b\r\n" % header for header in headers)
    return b"HTTP/1.1 %d %b\r\n%b\r\n%b" % (status, status.phrase.encode(), lines, body)
