"""The field types of requests: bounded strings, numbers and JSON values that can be stored."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

from pydantic import AfterValidator, BeforeValidator, ConfigDict, Field, TypeAdapter, WithJsonSchema
from pydantic import JsonValue as AnyJson

from helix_ray.core.names import LINE_PATTERN, TERM_PATTERN
from helix_ray.core.spec_shape import PROJECT_ID_CHARS_MAX, WORD_CHARS_MAX
from helix_ray.core.values import fault
from helix_ray.plain import NotPlain, plain_bytes
from helix_ray.wire.times import epoch_of

if TYPE_CHECKING:
    from helix_ray.core.specs import Resources as ResourcesJson
    from helix_ray.core.specs import Run as RunJson
    from helix_ray.core.specs import TaskError as ErrorJson
    from helix_ray.core.specs import Usage as UsageJson
else:
    # Python code finds their fields in core/specs.py. Other fields are allowed, so the schema only
    # promises an object.
    ResourcesJson = RunJson = ErrorJson = UsageJson = dict[str, AnyJson]

__all__ = ["CLOSED", "SEQ_MAX", "STRICT", "ErrorJson", "ResourcesJson", "RunJson", "UsageJson"]

# Seqs, as JSON numbers that every client reads exactly.
SEQ_MAX = 2**53
# Of answers: nothing stands in them that their type does not name.
CLOSED = ConfigDict(extra="forbid")
STRICT = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False)


def strict(**example: Any) -> ConfigDict:
    """Return the configuration of a request model: unknown fields are refused, nothing is
    converted, and an example."""
    return {**STRICT, "json_schema_extra": {"examples": [example]}}


def adapter(form: Any) -> TypeAdapter[Any]:
    """Return an adapter that validates a TypedDict to a plain dict of the given fields."""
    made: TypeAdapter[Any] = TypeAdapter(form)
    return made


def storable(value: Any) -> Any:
    """Return a JSON value that is plain (core/values.py); raise NotPlain, a ValueError,
    for one that is not."""
    if plain_bytes(value) is None and (found := fault(value)) is not None:
        raise NotPlain(found.field, found.why)
    return value


def _to_epoch(value: Any) -> float:
    if not isinstance(value, str):
        raise ValueError("must be an ISO 8601 time such as 2025-11-07T10:00:00Z")
    return epoch_of(value)


JsonValue = Annotated[Any, AfterValidator(storable)]
# ISO 8601 on the wire, epoch seconds after it.
Time = Annotated[float, BeforeValidator(_to_epoch), WithJsonSchema({"type": "string", "format": "date-time"})]
Word = Annotated[str, Field(min_length=1, max_length=WORD_CHARS_MAX, pattern=TERM_PATTERN)]
Id = Annotated[str, Field(min_length=1, max_length=128)]
# A project's name: one line, so that listings send no control characters to a terminal.
ProjectId = Annotated[str, Field(min_length=1, max_length=PROJECT_ID_CHARS_MAX, pattern=LINE_PATTERN)]
