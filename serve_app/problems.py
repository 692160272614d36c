"""Refusals as HTTP: one dict from code to status, one envelope, and the handlers that convert every error.

    {"error": {"code": ..., "message": ..., "details": {...}}, "request_id": ...}

Details name fields and rules, never the texts that were sent: a password in the wrong
field must not be echoed.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, Final

import orjson
from fastapi.exceptions import RequestValidationError
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Match
from starlette.types import Scope

from helix_ray.core.errors import ErrorCode, Refused, Rejected, invalid
from serve_app.limit_errors import breach_of

STATUS: Final[Mapping[ErrorCode, int]] = {
    ErrorCode.VALIDATION_ERROR: 400,
    ErrorCode.UNAUTHORIZED: 401,
    ErrorCode.FORBIDDEN: 403,
    ErrorCode.NOT_FOUND: 404,
    ErrorCode.METHOD_NOT_ALLOWED: 405,
    ErrorCode.REQUEST_TIMEOUT: 408,
    ErrorCode.CONFLICT: 409,
    ErrorCode.GONE: 410,
    ErrorCode.PAYLOAD_TOO_LARGE: 413,
    ErrorCode.RATE_LIMIT_EXCEEDED: 429,
    ErrorCode.HEADERS_TOO_LARGE: 431,
    ErrorCode.INTERNAL_ERROR: 500,
    ErrorCode.SERVICE_UNAVAILABLE: 503,
}
# str in scope["state"]: the request's id, put there by the edge.
REQUEST_ID: Final = "request_id"
ERRORS_LISTED_MAX = 20
NAME_CHARS_MAX = 128

_CODES: Final = {status: code for code, status in STATUS.items()}
_MESSAGES: Final = {
    401: "Missing or invalid authentication token",
    403: "Insufficient permissions",
    404: "Path not found",
    405: "Method not allowed",
    500: "Internal server error",
}
_METHODS: Final = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")
_ROUTING_KEYS: Final = (
    "type",
    "http_version",
    "method",
    "scheme",
    "path",
    "raw_path",
    "query_string",
    "headers",
)
_QUOTED: Final = re.compile(r"'((?:[^'\\]|\\.)*)'")
_WORDS: Final = re.compile(r"^(Input|String) should ")
# What pydantic puts before the message of a ValueError.
_OF_VALUES: Final = "Value error, "
# Pydantic gives the choices of an enum or literal only in this sentence.
_CHOICES: Final = frozenset({"enum", "literal_error"})


def envelope(rejected: Rejected, request_id: str) -> bytes:
    """Return the JSON body of a response that is not a success."""
    error = {"code": rejected.code.value, "message": rejected.message, "details": rejected.details}
    content = {"error": error, "request_id": request_id}
    try:
        return orjson.dumps(content, default=str)
    except orjson.JSONEncodeError:
        return orjson.dumps(_printable(content), default=str)


def request_id_of(scope: Mapping[str, Any]) -> str:
    """Return the request id chosen by the edge; "req-none" for an application without the edge."""
    found: str = scope.get("state", {}).get(REQUEST_ID, "req-none")
    return found


def answer_headers(rejected: Rejected) -> list[tuple[bytes, bytes]]:
    """Return the headers of a refusal: Retry-After from details.retry_after_s, and
    WWW-Authenticate for a 401."""
    headers: list[tuple[bytes, bytes]] = []
    retry_after_s = rejected.details.get("retry_after_s")
    if retry_after_s is not None:
        headers.append((b"retry-after", b"%d" % max(int(retry_after_s), 1)))
    if rejected.code is ErrorCode.UNAUTHORIZED:
        headers.append((b"www-authenticate", b"Bearer"))
    return headers


def refusal_response(rejected: Rejected, scope: Scope, headers: Mapping[str, str] | None = None) -> Response:
    """Return a refusal as a framework response."""
    response = Response(
        envelope(rejected, request_id_of(scope)),
        STATUS[rejected.code],
        headers,
        media_type="application/json",
    )
    response.raw_headers += answer_headers(rejected)
    return response


def install(app: Starlette) -> None:
    """Make an application answer all errors with the envelope."""
    app.add_exception_handler(Refused, _on_refused)
    app.add_exception_handler(HTTPException, _on_http_exception)
    app.add_exception_handler(RequestValidationError, _on_invalid_request)
    app.add_exception_handler(Exception, _on_exception)


async def _on_refused(request: Request, error: Exception) -> Response:
    assert isinstance(error, Refused)
    return refusal_response(error.rejected, request.scope)


async def _on_exception(request: Request, _: Exception) -> Response:
    # Starlette raises the exception again after this response; the edge then logs it.
    return refusal_response(Rejected(ErrorCode.INTERNAL_ERROR, _MESSAGES[500]), request.scope)


async def _on_http_exception(request: Request, error: Exception) -> Response:
    """Answer the framework's own refusals: unknown paths, wrong methods, bodies that cannot be parsed."""
    assert isinstance(error, HTTPException)
    if error.status_code == 405:
        return _method_not_allowed(request.scope)
    if error.status_code == 404:
        details = {"path": shortened(request.scope["path"])}
        return refusal_response(Rejected(ErrorCode.NOT_FOUND, _MESSAGES[404], details), request.scope)
    if isinstance(error.__cause__, (ValueError, RecursionError)):
        malformed = invalid(
            "Malformed JSON",
            field="body",
            reason="not valid UTF-8, nested too deeply, or a number that is too long",
        )
        return refusal_response(malformed, request.scope)
    fallback = ErrorCode.INTERNAL_ERROR if error.status_code >= 500 else ErrorCode.VALIDATION_ERROR
    code = _CODES.get(error.status_code, fallback)
    message = _MESSAGES.get(error.status_code, str(error.detail))
    return refusal_response(Rejected(code, message), request.scope, error.headers)


def _method_not_allowed(scope: Scope) -> Response:
    """Answer 405 with all methods of the path; the framework names only those of the first
    route (RFC 9110, 15.5.6)."""
    base = {key: scope[key] for key in _ROUTING_KEYS if key in scope} | {
        "root_path": scope.get("root_path", "")
    }
    routes = scope["app"].router.routes
    allowed = [
        method
        for method in _METHODS
        if any(route.matches({**base, "method": method})[0] is Match.FULL for route in routes)
    ]
    details = {"method": shortened(scope["method"]), "allowed_methods": allowed}
    rejected = Rejected(ErrorCode.METHOD_NOT_ALLOWED, _MESSAGES[405], details)
    return refusal_response(rejected, scope, {"allow": ", ".join(allowed)})


async def _on_invalid_request(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    content_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    is_json = content_type == "application/json" or content_type.endswith("+json")
    found = error.errors()
    if (
        found[0]["type"] in {"model_attributes_type", "dict_type"}
        and len(found[0]["loc"]) == 1
        and not is_json
    ):
        wrong = invalid("Invalid content type", field="Content-Type", allowed_values=["application/json"])
        return refusal_response(wrong, request.scope)
    return refusal_response(describe(found, subject_of(request.scope["path"])), request.scope)


# Parts of the API whose nouns come second.
_GROUPS = frozenset({"aurora", "harmony"})


def describe(errors: Sequence[Mapping[str, Any]], subject: str) -> Rejected:
    """Turn pydantic's errors into one refusal: message and `field` describe the first, `errors` lists all.

    `subject` is the noun for messages ("task" in "Invalid task priority").
    """
    listed = [_describe_one(error) for error in errors[:ERRORS_LISTED_MAX]]
    first, kind = listed[0], errors[0]["type"]
    details = {key: value for key, value in first.items() if key != "message"}
    details["errors"] = listed
    if len(errors) > ERRORS_LISTED_MAX:
        details["errors_omitted"] = len(errors) - ERRORS_LISTED_MAX
    if kind == "json_invalid":
        return Rejected(ErrorCode.VALIDATION_ERROR, "Malformed JSON", details)
    # The whole way: "Invalid task run.argv.1", since "Invalid task 1" would not say what is meant.
    name = first["field"]
    about = f"{subject} {name}" if subject and name != "body" else name if name != "body" else "request body"
    verb = {"missing": "Missing", "extra_forbidden": "Unknown"}.get(kind, "Invalid")
    # Choices are in the details, and a missing or unknown field needs no further words.
    why = "" if verb != "Invalid" or kind in _CHOICES else f": {first['message']}"
    return Rejected(ErrorCode.VALIDATION_ERROR, f"{verb} {about}{why}", details)


def subject_of(path: str) -> str:
    """Return the noun of a path: /api/v1/tasks/batch -> task, /api/v1/auth/login -> login,
    /api/v1/aurora/audit -> audit."""
    parts = [part for part in path.split("/") if part][2:]
    if not parts:
        return ""
    if parts[0] in _GROUPS and len(parts) > 1:
        del parts[0]
    subject = parts[-1] if parts[0] == "auth" else parts[0]
    return shortened(subject.removesuffix("s"))


def _describe_one(error: Mapping[str, Any]) -> dict[str, Any]:
    kind, location = error["type"], error["loc"]
    if kind == "json_invalid":
        reason = error.get("ctx", {}).get("error", "not JSON")
        return {"field": "body", "position": location[-1], "message": str(reason)}
    names = [shortened(str(part)) for part in location[1:]]
    message = error["msg"].removeprefix(_OF_VALUES) if kind == "value_error" else error["msg"]
    described: dict[str, Any] = {
        "field": ".".join(names) or str(location[0]),
        "message": shortened(_WORDS.sub("must ", message).replace("a valid dictionary", "an object")),
    }
    if kind in _CHOICES:
        described["allowed_values"] = _QUOTED.findall(str(error.get("ctx", {}).get("expected", "")))
    breach = breach_of(error)
    return described if breach is None else {**described, "message": breach.why, **breach.details}


def shortened(text: str) -> str:
    """Return a client's text in a form that fits into a response: bounded, without lone surrogates."""
    return text[:NAME_CHARS_MAX].encode("utf-8", "replace").decode()


def _printable(value: Any) -> Any:
    """Return the JSON value with lone surrogates replaced, and numbers that JSON
    cannot represent as strings."""
    if isinstance(value, str):
        return value.encode("utf-8", "replace").decode()
    if isinstance(value, Mapping):
        return {str(_printable(key)): _printable(inner) for key, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [_printable(inner) for inner in value]
    if isinstance(value, int) and not -(2**63) <= value < 2**64:
        return str(value)
    return value
