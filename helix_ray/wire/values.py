"""The building blocks of requests: bounded texts, numbers and JSON values that are sure to be storable."""

from __future__ import annotations

from typing import Annotated, Any

import orjson
from pydantic import AfterValidator, BeforeValidator, ConfigDict, Field, TypeAdapter, WithJsonSchema

from helix_ray.core.names import LINE_PATTERN, TERM_PATTERN
from helix_ray.wire.times import epoch_of

# Levels of lists and objects in a value that a client chooses; the journal, the cluster and an answer add theirs.
JSON_LEVELS_MAX = 100
# How deep orjson writes; documented at its dumps().
_WRITER_LEVELS_MAX = 254
_FLAT_ITEMS_MAX = 64
_SCALARS = frozenset({str, int, float, bool, type(None)})

STRICT = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False)


def strict(**example: Any) -> ConfigDict:
    """Return the configuration of a request: unknown fields are refused, nothing is converted, and an example."""
    return {**STRICT, "json_schema_extra": {"examples": [example]}}


def adapter(form: Any) -> TypeAdapter[dict[str, Any]]:
    """Return what validates a form (a TypedDict, or one annotated) to a plain dict of the given fields."""
    made: TypeAdapter[dict[str, Any]] = TypeAdapter(form)
    return made


def storable(value: Any) -> Any:
    """Return a JSON value that the journal can write; raise ValueError for one nested too deep."""
    if _is_flat(value):
        return value
    wrapped = value
    # The writer knows how deep it went: leave it JSON_LEVELS_MAX levels of its own.
    for _ in range(_WRITER_LEVELS_MAX - JSON_LEVELS_MAX):
        wrapped = [wrapped]
    try:
        orjson.dumps(wrapped)
    except TypeError:
        raise ValueError(f"nested deeper than {JSON_LEVELS_MAX} levels, or not JSON") from None
    return value


def _is_flat(value: Any) -> bool:
    """Say whether a value is a scalar, or a short list or object of scalars: most are, and need no writing."""
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, list):
        return len(value) <= _FLAT_ITEMS_MAX and all(type(item) in _SCALARS for item in value)
    return type(value) in _SCALARS


def _to_epoch(value: Any) -> float:
    if not isinstance(value, str):
        raise ValueError("an ISO 8601 time such as 2025-11-07T10:00:00Z is expected")
    return epoch_of(value)


JsonValue = Annotated[Any, AfterValidator(storable)]
# ISO 8601 on the wire, epoch seconds after it.
Time = Annotated[float, BeforeValidator(_to_epoch), WithJsonSchema({"type": "string", "format": "date-time"})]
Word = Annotated[str, Field(min_length=1, max_length=64, pattern=TERM_PATTERN)]
Id = Annotated[str, Field(min_length=1, max_length=128)]
# What people call a project: on one line, so that no control character reaches the terminal of whoever lists it.
ProjectId = Annotated[str, Field(min_length=1, max_length=128, pattern=LINE_PATTERN)]
