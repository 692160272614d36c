"""The OpenAPI document: FastAPI's, with the bodies that routes parse themselves, errors and headers added.

Routes are described where they are defined, by `verb(...)` and `public(...)`. At run time only VERB is used,
to look up the access table.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import chain
from typing import Any, Final

from fastapi import APIRouter, FastAPI
from fastapi.openapi.utils import get_openapi
from fastapi.routing import APIRoute
from pydantic import TypeAdapter

from helix_ray.core.verbs import VERBS
from helix_ray.wire.events import BookmarkOut, EventOut
from helix_ray.wire.problems import Problem
from serve_app.deps import KEY_CHARS_MAX, VERB

JSON: Final = "application/json"
REF: Final = "#/components/schemas/{model}"
METHODS: Final = frozenset({"get", "put", "post", "patch", "delete"})

_ERRORS: Final = {
    400: "VALIDATION_ERROR: a field is missing, unknown or invalid; see `details.field`",
    401: "UNAUTHORIZED: the token is missing or invalid, or its session has ended",
    403: "FORBIDDEN: the user's roles do not allow this, or the user is not a member of the project",
    404: "NOT_FOUND: it does not exist or this user cannot see it",
    409: (
        "CONFLICT: the request conflicts with the current state or with an earlier use of its Idempotency-Key"
    ),
    410: "GONE: the cursor cannot be continued; `details` says where, or how, to begin again",
    413: "PAYLOAD_TOO_LARGE: the body exceeds its limit",
    429: "RATE_LIMIT_EXCEEDED: see Retry-After",
    500: "INTERNAL_ERROR: an internal error, logged under the request id",
    503: "SERVICE_UNAVAILABLE: retry after Retry-After",
}
_KEY_PARAMETER: Final = {
    "name": "Idempotency-Key",
    "in": "header",
    "required": False,
    "description": (
        "A request with the same key and body returns the first answer again; the same key "
        "with another body is a CONFLICT."
    ),
    "schema": {"type": "string", "minLength": 1, "maxLength": KEY_CHARS_MAX, "pattern": "^[ -~]+$"},
}
# Path parameters have the same meaning wherever they are.
_IN_PATHS: Final = {
    "conflict_id": "The id of the conflict.",
    "device_id": "The id of the device.",
    "digest": "The SHA-256 of the data set, in hex.",
    "erasure_id": "The id of the erasure.",
    "name": "The name of the model.",
    "node_id": "The id of the node.",
    "project_id": "The id of the project.",
    "seq": "The seq of the delivery.",
    "session_id": "The id of the session.",
    "task_id": "The id of the task.",
    "token_id": "The id of the API token.",
    "username": "The name of the user.",
    "version": "The number of the version.",
    "webhook_id": "The id of the webhook.",
    "worker_id": "The id of the worker.",
}
_INTEGER: Final = {"schema": {"type": "integer"}}
_HEADERS: Final = {
    name: {"$ref": f"#/components/headers/{name}"}
    for name in ("X-Request-ID", "X-RateLimit-Limit", "X-RateLimit-Remaining", "X-RateLimit-Reset")
}
_SEQ_HEADER: Final = {"X-Helix-Seq": {"$ref": "#/components/headers/X-Helix-Seq"}}
_HEADERS_DESCRIBED: Final = {
    "X-Request-ID": {"description": "The request id.", "schema": {"type": "string"}},
    "X-RateLimit-Limit": {"description": "Number of requests allowed in a window.", **_INTEGER},
    "X-RateLimit-Remaining": {"description": "Requests left.", **_INTEGER},
    "X-RateLimit-Reset": {"description": "Time when the window resets, in epoch seconds.", **_INTEGER},
    "X-Helix-Seq": {"description": "Journal position after the change.", **_INTEGER},
}

# Removed from the document again: the thing named by a query parameter may not exist.
MAY_MISS = "x-helix-may-miss"


class _BodySchema(dict[str, str]):
    """The reference to a body that a route parses itself, with the model that the document describes."""

    def __init__(self, model: Any) -> None:
        super().__init__({"$ref": REF.format(model=model.__name__)})
        self.model = model


def verb(
    name: str,
    *,
    answers: Any = None,
    status: int = 200,
    body: Any = None,
    body_required: bool = True,
    may_miss: bool = False,
) -> dict[str, Any]:
    """Describe a route that needs a session: its verb in the access table, its body and its response.

    `may_miss`: the thing named by a query parameter may not exist (404).
    """
    described = public(answers=answers, status=status, body=body, body_required=body_required)
    if name not in VERBS:
        raise ValueError(f"{name} is neither an order nor a question")
    described["openapi_extra"] |= {VERB: name} | ({MAY_MISS: True} if may_miss else {})
    return described


def public(
    *,
    answers: Any = None,
    status: int = 200,
    body: Any = None,
    body_required: bool = True,
) -> dict[str, Any]:
    """Describe a route that anybody may call."""
    described: dict[str, Any] = {}
    if body is not None:
        content = {JSON: {"schema": _BodySchema(body)}}
        described["requestBody"] = {"required": body_required, "content": content}
    responses = {status: {"model": answers}} if answers is not None else None
    return {"openapi_extra": described, "status_code": status, "responses": responses, "response_model": None}


def install(app: FastAPI, routers: Sequence[APIRouter]) -> None:
    """Make the application serve the completed document."""

    def document() -> dict[str, Any]:
        if app.openapi_schema is None:
            app.openapi_schema = build(app, routers)
        return app.openapi_schema

    app.openapi = document  # type: ignore[method-assign]


def build(app: FastAPI, routers: Sequence[APIRouter]) -> dict[str, Any]:
    """Return the OpenAPI document of an application."""
    from serve_app.described.describing import describe  # most replicas are never asked for the document

    document = get_openapi(
        title=app.title, version=app.version, description=app.description, routes=app.routes
    )
    for path, method, operation in operations(document):
        _complete(path, method, operation)
    components = document.setdefault("components", {})
    components["schemas"] = {
        **components.get("schemas", {}),
        **_schemas((Problem, EventOut, BookmarkOut, *_bodies(routers))),
    }
    for left in ("HTTPValidationError", "ValidationError"):
        components["schemas"].pop(left, None)
    components["headers"] = _HEADERS_DESCRIBED
    components["securitySchemes"] = {
        "bearer": {
            "type": "http",
            "scheme": "bearer",
            "bearerFormat": "JWT",
            "description": "POST /auth/login",
        }
    }
    describe(document)
    return document


def _bodies(routers: Sequence[APIRouter]) -> list[Any]:
    """Return the models of the bodies that routes parse themselves, each once."""
    bodies = {}
    for route in chain.from_iterable(router.routes for router in routers):
        described = (route.openapi_extra or {}) if isinstance(route, APIRoute) else {}
        schema = described.get("requestBody", {}).get("content", {}).get(JSON, {}).get("schema")
        if isinstance(schema, _BodySchema):
            bodies[schema.model.__name__] = schema.model
    return list(bodies.values())


def operations(document: Mapping[str, Any]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Iterate over path, method and operation of a document."""
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            if method in METHODS:
                yield path, method, operation


def _complete(path: str, method: str, operation: dict[str, Any]) -> None:
    secured, may_miss = VERB in operation, operation.pop(MAY_MISS, False)
    if secured:
        operation["security"] = [{"bearer": []}]
    for parameter in operation.get("parameters", ()):
        if parameter["in"] == "path":
            parameter["description"] = _IN_PATHS[parameter["name"]]
    if method == "post":
        operation.setdefault("parameters", []).append(_KEY_PARAMETER)
    responses = operation["responses"]
    responses.pop("422", None)
    for answer in responses.values():
        answer["headers"] = {**_HEADERS, **(_SEQ_HEADER if secured and method != "get" else {})}
    for status in [*_possible(path, method, operation, secured), *([404] if may_miss else [])]:
        content = {JSON: {"schema": {"$ref": REF.format(model="Problem")}}}
        answer = {"description": _ERRORS[status], "content": content, "headers": _HEADERS}
        if "content" not in responses.get(str(status), {}):
            responses[str(status)] = answer


def _possible(path: str, method: str, operation: dict[str, Any], secured: bool) -> list[int]:
    """Return the statuses of the errors that an operation can return."""
    found = [429, 500, 503]
    if path.startswith("/api/"):
        found += [400, 413]
    if secured or "requestBody" in operation:
        found += [401, 403]
    if "{" in path or "requestBody" in operation:
        found.append(404)
    if 410 in map(int, operation["responses"]):
        found.append(410)
    if method != "get" or path.endswith("/result"):
        found.append(409)
    if path.endswith("/sync/changes"):
        found += [404, 409, 410]
    return sorted(found)


def _schemas(models: Sequence[Any]) -> dict[str, Any]:
    """Return the schemas of models and of their parts, by name."""
    adapters = [(model.__name__, "validation", TypeAdapter(model)) for model in models]
    _, document = TypeAdapter.json_schemas(adapters, ref_template=REF)  # type: ignore[arg-type]
    schemas: dict[str, Any] = document["$defs"]
    return schemas
