"""Says the type of a JSON schema in words, in HTML with links to models: `list of TaskLine or null`."""

from __future__ import annotations

import html
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

# What is counted or measured, with the keywords of its limits.
_BOUNDS: Final = (
    ("minLength", "maxLength", " characters"),
    ("minItems", "maxItems", " items"),
    ("minProperties", "maxProperties", " entries"),
    ("minimum", "maximum", ""),
)


def type_of(schema: Mapping[str, Any]) -> str:
    """Return the type of a schema, with its limits."""
    if "$ref" in schema:
        name = html.escape(schema["$ref"].rpartition("/")[2])
        return f"<a href=#{name}>{name}</a>"
    for choice in ("anyOf", "oneOf"):
        if choice in schema:
            return _any_of(schema[choice])
    if "contentSchema" in schema:
        return f"JSON of {type_of(schema['contentSchema'])}"
    limits = ", ".join(_limits(schema))
    return _plain(schema) + (f" ({limits})" if limits else "")


def _any_of(choices: Sequence[Mapping[str, Any]]) -> str:
    return " or ".join(type_of(each) for each in choices)


def _plain(schema: Mapping[str, Any]) -> str:
    if "const" in schema:
        return _code(schema["const"])
    if "enum" in schema:
        return " or ".join(map(_code, schema["enum"]))
    kind = schema.get("type")
    if kind == "array":
        return f"list of {type_of(schema.get('items', {}))}"
    if kind == "object":
        return f"object of {type_of(_values(schema))}"
    return "any JSON" if kind is None else html.escape(kind)


def _values(schema: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the schema of the values of an object without fixed fields."""
    for found in schema.get("patternProperties", {}).values():
        return dict(found)
    values = schema.get("additionalProperties")
    return values if isinstance(values, dict) else {}


def _limits(schema: Mapping[str, Any]) -> Iterator[str]:
    if "format" in schema:
        yield html.escape(schema["format"])
    for least, most, unit in _BOUNDS:
        low, high = schema.get(least), schema.get(most)
        if low is not None and high is not None:
            yield f"{low:,} to {high:,}{unit}"
        elif low is not None:
            yield f"{low:,} or more{unit}"
        elif high is not None:
            yield f"up to {high:,}{unit}"
    if "exclusiveMinimum" in schema:
        yield f"above {schema['exclusiveMinimum']:,}"
    if "pattern" in schema:
        yield _code(schema["pattern"])


def _code(value: object) -> str:
    return f"<code>{html.escape(str(value))}</code>"
