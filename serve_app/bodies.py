"""Request bodies: JSON in, validated values out; serve_app/problems.py describes what is refused."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any, TypeVar

import orjson
from pydantic import TypeAdapter, ValidationError
from starlette.requests import Request

from helix_ray import plain
from helix_ray.core.errors import Refused, Rejected, invalid
from helix_ray.core.spec_shape import RUN_KINDS
from serve_app.problems import describe, shortened

T = TypeVar("T")

JSON_TYPE = "application/json"
# Of an error: whether it is about one form of several.
_IN_UNION = "in_union"
_NOTHING = object()
# Objects and arrays cost the most to parse (an eighth of a microsecond each), and parsing blocks the loop.
CONTAINERS_MAX = 500_000


@dataclass(frozen=True, slots=True)
class Body:
    """A request's JSON value, and the bytes it was parsed from."""

    value: Any = field(repr=False)
    raw: bytes = field(default=b"", repr=False)
    _digest: list[bytes] = field(default_factory=list, compare=False, repr=False)

    def digest(self) -> bytes:
        """Return a 32-byte hash of the JSON that does not depend on the order of fields; computed once."""
        if not self._digest:
            self._digest.append(sha256(self._sorted()).digest())
        return self._digest[0]

    def _sorted(self) -> bytes:
        """Return the value with sorted fields; a value that is not plain, and will be
        refused, as it was sent."""
        try:
            return orjson.dumps(self.value, option=orjson.OPT_SORT_KEYS)
        except TypeError:
            return self.raw

    def validated(self, adapter: TypeAdapter[T], subject: str) -> T:
        """Return what the adapter makes of the value; raise Refused (VALIDATION_ERROR) naming the field.

        `subject` is the noun for messages ("task" in "Invalid task priority").
        """
        try:
            return adapter.validate_python(self.value)
        except ValidationError as error:
            raise Refused(refusal(error, subject, self.value)) from None


async def read(request: Request, *, optional: bool = False) -> Body:
    """Read a JSON body; raise Refused for another content type, malformed JSON, or
    (unless optional) none at all."""
    raw = await request.body()
    if not raw and optional:
        return Body({})
    _check_content_type(request)
    if not raw:
        raise Refused(invalid("Missing request body", field="body"))
    _check_containers(raw)
    try:
        return Body(plain.read(raw), raw)
    except json.JSONDecodeError as error:
        raise Refused(
            invalid("Malformed JSON", field="body", position=error.pos, reason=error.msg.partition(":")[0])
        ) from None
    except plain.NameRepeated as error:
        raise Refused(invalid("Repeated field in the request body", field=shortened(error.name))) from None


def _check_containers(raw: bytes) -> None:
    """Refuse a body that would take long to parse. Brackets in strings count too: only
    parsing tells them apart."""
    if len(raw) > CONTAINERS_MAX and raw.count(b"[") + raw.count(b"{") > CONTAINERS_MAX:
        message = "Too many objects and arrays in the request body"
        raise Refused(invalid(message, field="body", containers_max=CONTAINERS_MAX))


def _check_content_type(request: Request) -> None:
    kind = b""
    for name, value in request.scope["headers"]:
        if name == b"content-type" and not kind:
            kind = value.partition(b";")[0].strip().lower()
        elif name == b"content-encoding" and value.strip().lower() != b"identity":
            details = {"field": "Content-Encoding", "allowed_values": ["identity"]}
            raise Refused(invalid("Compressed request bodies are not supported", **details))
    if kind != b"application/json" and not kind.endswith(b"+json"):
        raise Refused(invalid("Invalid content type", field="Content-Type", allowed_values=[JSON_TYPE]))


def refusal(error: ValidationError, subject: str, value: Any) -> Rejected:
    """Return the refusal of a value, which does not contain its texts."""
    found = error.errors(include_url=False, include_context=True)
    return describe(_of_the_form_meant([_reworded(dict(one), value) for one in found]), subject)


def _reworded(error: dict[str, Any], value: Any) -> dict[str, Any]:
    """Convert an error for problems.describe: the location relative to the body, and no part of the input."""
    location: Sequence[Any] = error["loc"]
    error["loc"] = ("body", *_places(_without_kind(location), value, error["type"]))
    error[_IN_UNION] = len(error["loc"]) <= len(location)
    kind = error["type"]
    if kind == "union_tag_not_found":
        return {**error, "type": "missing", "loc": (*error["loc"], "kind"), "msg": "Field required"}
    if kind == "union_tag_invalid":
        expected = error["ctx"]["expected_tags"]
        message = f"must be one of {expected}"
        loc = (*error["loc"], "kind")
        return {"type": "literal_error", "loc": loc, "msg": message, "ctx": {"expected": expected}}
    if kind == "value_error":
        cause = error.get("ctx", {}).get("error")
        if isinstance(cause, plain.NotPlain) and cause.field:
            return {**error, "loc": (*error["loc"], *cause.field.split(".")), "msg": cause.why}
    return error


def _without_kind(location: Sequence[Any]) -> Sequence[Any]:
    for i in range(1, len(location)):
        # Pydantic puts the tag of a union between the field and its own fields.
        if location[i - 1] == "run" and location[i] in RUN_KINDS:
            return (*location[:i], *location[i + 1 :])
    return location


def _places(location: Sequence[Any], value: Any, kind: str) -> Iterator[Any]:
    """Give the parts of a location that are in the value, and a field that it lacks: pydantic's names of the
    forms of a union (`constrained-str`) are in neither."""
    for depth, part in enumerate(location):
        inner = _inside(value, part)
        is_lacking = depth == len(location) - 1 and (kind == "missing" or part == "[key]")
        if inner is not _NOTHING:
            value = inner
        elif not is_lacking:
            continue
        yield part


def _inside(value: Any, part: Any) -> Any:
    try:
        return value[part] if isinstance(value, (dict, list)) else _NOTHING
    except (LookupError, TypeError):
        return _NOTHING


def _of_the_form_meant(errors: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Leave out that a value is not of the other forms of a union, where it is wrong in one of them."""
    kept = [one for one in errors if not (one.get(_IN_UNION) and one["type"].endswith("_type"))]
    places = [one["loc"] for one in kept]
    return [
        one for one in errors
        if one in kept or not any(place[: len(one["loc"])] == one["loc"] for place in places)
    ]  # fmt: skip
