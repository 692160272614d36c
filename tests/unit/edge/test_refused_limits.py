"""Whoever sends a value beyond a limit is told the field, the limit and what was given.

The table is made from the declared limits of all request models: a limit that is added later is in it.
"""

from __future__ import annotations

import base64
import importlib
import pkgutil
from collections.abc import Iterator
from typing import Any, NamedTuple

from pydantic import BaseModel, TypeAdapter, ValidationError

import helix_ray.wire
from helix_ray.core.stdin import STDIN_BYTES_MAX
from serve_app.bodies import refusal


class Beyond(NamedTuple):
    """A value beyond one limit of a model, at its place in a request."""

    field: str
    keyword: str
    limit: float
    value: Any


def models() -> Iterator[tuple[str, TypeAdapter[Any]]]:
    """Give all models of requests: the adapters of bodies, and the classes of queries."""
    for found in pkgutil.iter_modules(helix_ray.wire.__path__):
        module = importlib.import_module(f"helix_ray.wire.{found.name}")
        for name, value in vars(module).items():
            if isinstance(value, TypeAdapter):
                yield f"{found.name}.{name}", value
            elif (
                isinstance(value, type)
                and issubclass(value, BaseModel)
                and value.__module__ == module.__name__
            ):
                yield f"{found.name}.{name}", TypeAdapter(value)


def sample(schema: dict[str, Any], defs: dict[str, Any]) -> Any:
    """Return a value that fits a schema well enough for its container to be measured."""
    schema = resolved(schema, defs)
    if "anyOf" in schema:
        return sample(schema["anyOf"][0], defs)
    if "const" in schema or "enum" in schema:
        return schema.get("const", (schema.get("enum") or [None])[0])
    if schema.get("format") == "date-time":
        return "2030-01-01T00:00:00Z"
    if schema.get("type") == "object":
        return {name: sample(schema["properties"][name], defs) for name in schema.get("required", ())}
    if schema.get("type") in ("number", "integer"):
        return schema.get("minimum", 1)
    return {"array": [], "boolean": True}.get(schema.get("type", ""), "a" * schema.get("minLength", 1))


def resolved(schema: dict[str, Any], defs: dict[str, Any]) -> dict[str, Any]:
    while "$ref" in schema:
        schema = defs[schema["$ref"].rpartition("/")[2]]
    return schema


def over(keyword: str, limit: float, schema: dict[str, Any], defs: dict[str, Any]) -> Any:
    """Return a value just beyond one limit of a schema."""
    if keyword in ("maximum", "minimum", "exclusiveMinimum"):
        return limit + {"maximum": 1, "minimum": -1, "exclusiveMinimum": 0}[keyword]
    count = int(limit) + (1 if keyword.startswith("max") else -1)
    if keyword in ("maxLength", "minLength"):
        return "a" * count
    if keyword in ("maxItems", "minItems"):
        return [sample(schema.get("items", {}), defs)] * count
    return dict.fromkeys((f"a{number}" for number in range(count)), sample(value_of(schema), defs))


DEPTH_MAX = 6
KEYWORDS = (
    "maximum", "minimum", "exclusiveMinimum", "maxLength", "minLength", "maxItems", "minItems",
    "maxProperties",
)  # fmt: skip


def value_of(schema: dict[str, Any]) -> dict[str, Any]:
    """Return the schema of the values of an object whose names are free."""
    values = [*schema.get("patternProperties", {}).values(), schema.get("additionalProperties")]
    return next((found for found in values if isinstance(found, dict)), {})


def limits_of(schema: dict[str, Any], defs: dict[str, Any], path: tuple[str, ...] = ()) -> Iterator[Any]:
    """Give (path, keyword, limit, value, neighbours) of all limits below a schema."""
    schema = resolved(schema, defs)
    # JSON values contain JSON values.
    if len(path) > DEPTH_MAX:
        return
    for keyword in KEYWORDS:
        if keyword in schema:
            yield path, keyword, schema[keyword], over(keyword, schema[keyword], schema, defs), {}
    for choice in (*schema.get("anyOf", ()), *schema.get("oneOf", ())):
        yield from limits_of(choice, defs, path)
    properties = schema.get("properties", {})
    kinds = {name: sample(part, defs) for name, part in properties.items() if "const" in part}
    for name, part in {"0": schema.get("items"), "a": value_of(schema), **properties}.items():
        for below, keyword, limit, value, beside in limits_of(part or {}, defs, (*path, name)):
            yield below, keyword, limit, value, {**beside, path: kinds} if kinds else beside


def placed(path: tuple[str, ...], value: Any, beside: dict[tuple[str, ...], dict[str, Any]]) -> Any:
    """Return the document that has a value at a path; digits are indices."""
    for depth in range(len(path) - 1, -1, -1):
        name = path[depth]
        value = [value] if name.isdigit() else {**beside.get(path[:depth], {}), name: value}
    return value


def beyond_all(schema: dict[str, Any]) -> Iterator[Beyond]:
    """Give a value beyond each limit that a schema declares."""
    for path, keyword, limit, value, beside in limits_of(schema, schema.get("$defs", {})):
        if path[-1:] == ("stdin_base64",):
            limit, value = STDIN_BYTES_MAX, base64.b64encode(bytes(STDIN_BYTES_MAX + 1)).decode()
        yield Beyond(".".join(path), keyword, limit, placed(path, value, beside))


def untold(adapter: TypeAdapter[Any], beyond: Beyond) -> str | None:
    """Return what a refusal lacks; None for one that tells."""
    try:
        adapter.validate_python(beyond.value)
    except ValidationError as error:
        rejected = refusal(error, "task", beyond.value)
    else:
        return "it is not refused"
    errors = [one for one in rejected.details["errors"] if one["field"] == (beyond.field or "body")]
    words = {f"{beyond.limit:,}", f"{beyond.limit:g}", f"{int(beyond.limit):,}", str(int(beyond.limit))}
    if any(word in one["message"] and "hould" not in one["message"] for one in errors for word in words):
        return None
    return f"{rejected.details['errors']}"


def test_a_value_beyond_a_declared_limit() -> None:
    """The answer names the field and the limit, in words of ours, for every limit of every request."""
    seen = 0
    lacking = []
    for model, adapter in models():
        for beyond in beyond_all(adapter.json_schema()):
            seen += 1
            lack = untold(adapter, beyond)
            if lack is not None:
                lacking.append(f"{model} {beyond.field} {beyond.keyword} {beyond.limit}: {lack[:300]}")
    assert not lacking, "\n".join([f"{len(lacking)} of {seen}", *lacking])
    assert seen > 100
