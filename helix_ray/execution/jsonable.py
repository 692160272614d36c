"""Converts results to JSON: numpy is accepted, NaN and infinity are refused, and a
refusal names the place."""

from __future__ import annotations

import math
from typing import Any

import orjson

from helix_ray.core.values import VALUE_DEPTH_MAX
from helix_ray.plain import is_deep

RESULT_BYTES_MAX = 64 * 1024 * 1024
"""Largest result of one attempt, in bytes of JSON or pickle."""

_SIMPLE = (type(None), bool)
_SIMPLE_BYTES = len(b"false")


class NotSerialisable(ValueError):
    """The value has no exact JSON form; the message names the type and its path."""


def to_json(value: Any, bytes_max: int = RESULT_BYTES_MAX) -> Any:
    """Return the value as plain JSON (tuples become lists, numpy arrays nested lists).

    Raises NotSerialisable for a type without a JSON form, a key that is not a string, NaN, infinity, an
    integer beyond 64 bits, more than VALUE_DEPTH_MAX levels, or more than bytes_max.
    """
    return sized_json(value, bytes_max)[0]


def sized_json(value: Any, bytes_max: int, path: str = "result") -> tuple[Any, int]:
    """Return what `to_json` returns, and its size in bytes of JSON; a refusal begins with `path`."""
    if type(value) in _SIMPLE:
        return value, _SIMPLE_BYTES
    try:
        text = orjson.dumps(value, default=_array, option=orjson.OPT_SERIALIZE_NUMPY)
    except TypeError as error:
        raise NotSerialisable(_fault(value, path, 0) or f"{path}: {error}") from error
    if len(text) > bytes_max:
        raise NotSerialisable(f"{path}: {len(text)} bytes of JSON; the limit is {bytes_max}")
    # orjson writes NaN and infinity as null, so only JSON with a null can contain one.
    if b"null" in text and (fault := _fault(value, path, 0)):
        raise NotSerialisable(fault)
    made = orjson.loads(text)
    if is_deep(text, made):
        raise NotSerialisable(_fault(made, path, 0) or f"{path}: nested deeper than {VALUE_DEPTH_MAX} levels")
    return made, len(text)


def _array(value: Any) -> Any:
    """Return numpy values that orjson cannot write (strided arrays, exotic scalars) as
    lists; refuse other types."""
    if type(value).__module__ == "numpy":
        return value.tolist()
    raise TypeError


def _fault(value: Any, path: str, depth: int) -> str | None:
    """Return where and why the value is not JSON, None where this walk finds nothing."""
    if value is None or isinstance(value, bool | str):
        return _text_fault(value, path)
    if isinstance(value, float):
        return None if math.isfinite(value) else f"{path}: {value} cannot be represented in JSON"
    if isinstance(value, int):
        return None if -(2**63) <= value < 2**64 else f"{path}: the integer does not fit in 64 bits"
    if depth >= VALUE_DEPTH_MAX:
        return f"{path}: nested deeper than {VALUE_DEPTH_MAX} levels"
    if isinstance(value, list | tuple):
        return _first(_fault(item, f"{path}[{index}]", depth + 1) for index, item in enumerate(value))
    if isinstance(value, dict):
        return _first(_entry_fault(key, item, path, depth) for key, item in value.items())
    if type(value).__module__ == "numpy":
        return _fault(value.tolist(), path, depth)
    return _other_fault(value, path, depth)


def _first(faults: Any) -> str | None:
    return next((fault for fault in faults if fault is not None), None)


def _text_fault(value: Any, path: str) -> str | None:
    if isinstance(value, str):
        try:
            value.encode()
        except UnicodeEncodeError:
            return f"{path}: the text is not valid Unicode"
    return None


def _entry_fault(key: Any, value: Any, path: str, depth: int) -> str | None:
    if not isinstance(key, str):
        return f"{path}: key {key!r} is of type {_type_name(key)}; keys must be text"
    return _text_fault(key, f"{path} key") or _fault(value, f"{path}.{key}", depth + 1)


def _other_fault(value: Any, path: str, depth: int) -> str | None:
    fields = getattr(type(value), "__dataclass_fields__", None)
    if fields is not None:
        return _first(_fault(getattr(value, name), f"{path}.{name}", depth + 1) for name in fields)
    try:
        orjson.dumps(value)  # dates, UUIDs, enumerations
    except TypeError:
        return f"{path}: type {_type_name(value)} cannot be represented in JSON"
    return None


def _type_name(value: Any) -> str:
    kind = type(value)
    return kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"
