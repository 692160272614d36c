"""The exceptions of calls to the API. Constructors are positional, so they survive pickling.

HelixError            code, message, details, request_id
  +-- NotSignedIn     UNAUTHORIZED: no token, a bad one, or a session that ended
  +-- Forbidden       FORBIDDEN: the role does not allow it
  +-- NotFound        NOT_FOUND: it does not exist, or you may not see it
  +-- Invalid         VALIDATION_ERROR, PAYLOAD_TOO_LARGE, METHOD_NOT_ALLOWED,
      |                   HEADERS_TOO_LARGE: not a valid request
  +-- Conflict        CONFLICT: the current state does not allow the request
  +-- RateLimited     RATE_LIMIT_EXCEEDED: try again after `retry_after_s`
  +-- ServerFault     INTERNAL_ERROR: a bug in the server; give its request id to the operator
  +-- Unavailable     SERVICE_UNAVAILABLE: the service responds that it cannot serve at the moment
        +-- Unreachable   UNREACHABLE: nothing responded
  +-- WaitTimeout     TIMEOUT: a wait took too long
"""

from __future__ import annotations

from typing import Any

import orjson

from helix_ray.core.errors import shown_details

BODY_SHOWN_CHARS_MAX = 200


class HelixError(Exception):
    """A call was refused or failed; `code` is the API's stable code, `details` is for programs."""

    # How often the request was sent; an earlier try may have been carried out although its response was lost.
    attempts = 1

    def __init__(
        self, code: str, message: str, details: dict[str, Any] | None = None, request_id: str | None = None
    ) -> None:
        super().__init__(code, message, details, request_id)
        self.code = code
        self.message = message
        self.details = details or {}
        self.request_id = request_id

    def __str__(self) -> str:
        request = f" (request {self.request_id})" if self.request_id else ""
        return f"{self.code}: {self.message}{shown_details(self.details)}{request}"


class NotSignedIn(HelixError):
    """There is no valid session."""


class Forbidden(HelixError):
    """The caller's roles do not allow this."""


class NotFound(HelixError):
    """The thing does not exist, or the caller may not see it."""


class Invalid(HelixError):
    """The request is not valid; `details["field"]` names the field."""


class Conflict(HelixError):
    """The current state does not allow the request."""


class CursorGone(HelixError):
    """A cursor cannot be continued from; `details` has `earliest` and `latest`."""


class RateLimited(HelixError):
    """Too many requests; `retry_after_s` says when to try again."""

    @property
    def retry_after_s(self) -> float | None:
        """Seconds until the next request is allowed; None where the server did not say."""
        value = self.details.get("retry_after_s")
        return None if value is None else float(value)


class ServerFault(HelixError):
    """The request failed because of a bug in the server."""


class Unavailable(HelixError):
    """The service is not available at the moment."""


class Unreachable(Unavailable):
    """Nothing responded at the address."""


class WaitTimeout(HelixError):
    """A wait took too long; `details["open"]` lists the ids of unfinished tasks."""


KINDS: dict[str, type[HelixError]] = {
    "UNAUTHORIZED": NotSignedIn,
    "FORBIDDEN": Forbidden,
    "NOT_FOUND": NotFound,
    "VALIDATION_ERROR": Invalid,
    "PAYLOAD_TOO_LARGE": Invalid,
    "METHOD_NOT_ALLOWED": Invalid,
    "HEADERS_TOO_LARGE": Invalid,
    "REQUEST_TIMEOUT": Unavailable,
    "CONFLICT": Conflict,
    "GONE": CursorGone,
    "RATE_LIMIT_EXCEEDED": RateLimited,
    "INTERNAL_ERROR": ServerFault,
    "SERVICE_UNAVAILABLE": Unavailable,
    "UNREACHABLE": Unreachable,
    "TIMEOUT": WaitTimeout,
}
# For responses that are not ours: a proxy's page, or an error of Serve.
CODES = {
    400: "VALIDATION_ERROR",
    401: "UNAUTHORIZED",
    403: "FORBIDDEN",
    404: "NOT_FOUND",
    405: "METHOD_NOT_ALLOWED",
    408: "REQUEST_TIMEOUT",
    409: "CONFLICT",
    410: "GONE",
    413: "PAYLOAD_TOO_LARGE",
    429: "RATE_LIMIT_EXCEEDED",
    431: "HEADERS_TOO_LARGE",
    502: "SERVICE_UNAVAILABLE",
    503: "SERVICE_UNAVAILABLE",
    504: "SERVICE_UNAVAILABLE",
}


def error_of(
    code: str, message: str, details: dict[str, Any] | None = None, request_id: str | None = None
) -> HelixError:
    """Return the exception of a code; an unknown code gives a plain HelixError."""
    return KINDS.get(code, HelixError)(code, message, details, request_id)


def error_from_answer(
    status: int, body: bytes, request_id: str | None, retry_after_s: float | None = None
) -> HelixError:
    """Return the exception for a non-2xx response, whether we or a proxy wrote its body."""
    code, message, details = CODES.get(status, "INTERNAL_ERROR"), "", {}
    try:
        envelope = orjson.loads(body)
        error = envelope["error"]
        code, message = str(error["code"]), str(error["message"])
        details = dict(error.get("details") or {})
        request_id = envelope.get("request_id") or request_id
    except (ValueError, KeyError, TypeError):
        shown = " ".join(body.decode(errors="replace").split())[:BODY_SHOWN_CHARS_MAX]
        message = f"HTTP {status}" + (f": {shown}" if shown else "")
    if retry_after_s is not None:
        details.setdefault("retry_after_s", retry_after_s)
    return error_of(code, message, details, request_id)
