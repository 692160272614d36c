"""JSON with orjson, restricted to plain values (core/values.py): a fast check, and
reading without silent changes.

orjson is fast, but reads an integer beyond 64 bits as a rounded float, writes NaN as null, and cannot write
255 levels although it reads 1,024. None of that may show.
"""

from __future__ import annotations

import json
from collections import Counter
from typing import Any

import orjson

from helix_ray.core.values import INTEGER_MAX, INTEGER_MIN, STORED_DEPTH_MAX, VALUE_DEPTH_MAX, fault, shown

# The maximum depth that orjson writes, from the documentation of dumps().
_WRITER_LEVELS_MAX = 254
# The shortest integer beyond 64 bits has this many digits.
_LONG_DIGITS = 19
_DIGITS_AS_ZERO = bytes.maketrans(b"123456789", b"0" * 9)
# No integer with this many characters fits in 64 bits, and Python is slow for thousands of digits.
_INTEGER_CHARS_MAX = 24


def plain_bytes(value: Any) -> int | None:
    """Return the size of a plain value as JSON; None for one that may not be plain, which
    core/values.fault examines.

    A null may have been NaN, so a value with null needs that examination as well.
    """
    try:
        text = orjson.dumps(value, default=_as_list, option=orjson.OPT_PASSTHROUGH_DATETIME)
    except TypeError:
        return None
    if b"null" in text or is_deep(text, value):
        return None
    return len(text)


def is_deep(text: bytes, value: Any, depth_max: int = VALUE_DEPTH_MAX) -> bool:
    """Say whether a value, of which `text` is the JSON, has more than `depth_max` levels."""
    # Each level has two brackets: most values are too short to be counted.
    if len(text) < 2 * depth_max or text.count(b"[") + text.count(b"{") <= depth_max:
        return False
    wrapped = value
    # orjson itself counts levels: wrap the value so that only `depth_max` levels are left.
    for _ in range(_WRITER_LEVELS_MAX - depth_max):
        wrapped = [wrapped]
    try:
        orjson.dumps(wrapped, default=_as_list)
    except TypeError:
        return True
    return False


def _as_list(value: Any) -> list[Any]:
    if type(value) is frozenset:
        return list(value)
    raise TypeError


class NotPlain(ValueError):
    """A value cannot be written without a change; `field` says where."""

    def __init__(self, field: str, why: str) -> None:
        super().__init__(field, why)
        self.field = field
        self.why = why

    def __str__(self) -> str:
        return f"{self.field}: {self.why}" if self.field else self.why


def write(value: Any) -> bytes:
    """Return a value as JSON; raise NotPlain where that would change the value, or fail."""
    try:
        text = orjson.dumps(value)
    except TypeError as error:
        found = fault(value, depth_max=_WRITER_LEVELS_MAX)
        raise NotPlain(*(("", str(error)) if found is None else (found.field, found.why))) from None
    if b"null" in text and (found := fault(value, depth_max=_WRITER_LEVELS_MAX)) is not None:
        raise NotPlain(found.field, found.why)
    return text


class NameRepeated(ValueError):
    """An object has two values of one name: programs differ in which of them they take."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.name = name

    def __str__(self) -> str:
        return f"{self.name!r} is given twice in one object"


def read(raw: bytes) -> Any:
    """Return the value of a JSON text with exact integers; floats that are too large become infinite.

    Such values are not plain, so the gate (core/admission.py) names their field. Raises json.JSONDecodeError,
    and NameRepeated.
    """
    try:
        value = orjson.loads(raw)
    except orjson.JSONDecodeError as error:
        if "infinity" not in error.msg:
            raise
    else:
        if b"0" * _LONG_DIGITS not in raw.translate(_DIGITS_AS_ZERO) and not _may_repeat(raw, value):
            return value
    try:
        return json.loads(
            raw.decode(), object_pairs_hook=_unique, parse_int=_integer, parse_constant=_no_constant
        )
    except (RecursionError, UnicodeDecodeError):
        raise json.JSONDecodeError("nested too deep", "", 0) from None


def _may_repeat(raw: bytes, value: Any) -> bool:
    """Say whether an object in a text may have a name twice: orjson keeps the last value only.

    A name that was lost took its colon with it. Counting colons takes less time than parsing once more.
    """
    colons = raw.count(b":")
    if colons < 2:
        return False
    try:
        # In a text, a colon may be escaped.
        return colons > orjson.dumps(value).count(b":") or b"\\u003" in raw
    except TypeError:
        return True


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Return an object; raise NameRepeated."""
    found = dict(pairs)
    if len(found) != len(pairs):
        counts = Counter(name for name, _ in pairs)
        raise NameRepeated(next(name for name, count in counts.items() if count > 1))
    return found


def _integer(digits: str) -> int:
    if len(digits) <= _INTEGER_CHARS_MAX:
        return int(digits)
    return INTEGER_MIN - 1 if digits[0] == "-" else INTEGER_MAX + 1


def _no_constant(name: str) -> Any:
    raise json.JSONDecodeError(f"{name} is not JSON", name, 0)


def stored(text: bytes | str) -> Any:
    """Return a stored value; one that no answer can show is escaped (core/values.shown)."""
    try:
        value = orjson.loads(text)
    except orjson.JSONDecodeError:
        return shown(_loads_odd(text))
    raw = text if isinstance(text, bytes) else text.encode()
    return shown(value) if is_deep(raw, value, STORED_DEPTH_MAX) else value


def _loads_odd(text: bytes | str) -> Any:
    """Read JSON that orjson refuses: lone surrogates, 1,025 levels and more."""
    try:
        return json.loads(text)
    except RecursionError:
        return text if isinstance(text, str) else text.decode(errors="backslashreplace")
