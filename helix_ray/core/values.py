"""Plain JSON values, which the journal can store and answers can show: checks them, and escapes others.

A *value* is chosen by a client, a task's code or a program on the cluster: a result, an argument, a label. It
is plain when every string is valid Unicode, every integer fits in 64 bits, every float is finite, every key
is a string, and lists and objects are at most VALUE_DEPTH_MAX levels deep. A plain value is read from the
journal, from a snapshot and from an answer exactly as it was given. Everything else is refused at the gate
(core/admission.py): an accepted value must never make an answer fail later.

Integers between 2^53 and 2^64 are plain. They are stored exactly and are legal JSON, but clients whose parser
has only doubles must read them in another way.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from math import isfinite
from typing import Any, NamedTuple

VALUE_DEPTH_MAX = 100
# A stored value is nested in a spec or a report, and an answer adds levels of its own.
STORED_DEPTH_MAX = VALUE_DEPTH_MAX + 50
INTEGER_MIN, INTEGER_MAX = -(2**63), 2**64 - 1
# The limits of a shown path: names, and characters of each name.
PATH_NAMES_MAX = 12
PATH_NAME_CHARS_MAX = 64

_SIMPLE = frozenset({str, int, float, bool, type(None)})


class Fault(NamedTuple):
    """Where a value is not plain, as names from the outermost to the innermost, and why."""

    path: tuple[str, ...]
    why: str

    @property
    def field(self) -> str:
        """The path in its shown form: `run.args.0`."""
        names = [shown_text(name)[:PATH_NAME_CHARS_MAX] for name in self.path[:PATH_NAMES_MAX]]
        return ".".join([*names, "..."] if len(self.path) > PATH_NAMES_MAX else names)


def fault(value: Any, *path: str, depth_max: int = VALUE_DEPTH_MAX) -> Fault | None:
    """Return the first place where a value is not plain; None if it is plain.

    It descends at most `depth_max` levels, so any value may be passed.
    """
    if type(value) in _SIMPLE:
        why = _why_not(value)
        return None if why is None else Fault(path, why)
    if isinstance(value, str):
        return fault(str(value), *path)
    # A named tuple is a tuple that the writer does not accept.
    if type(value) is not tuple and not isinstance(value, (list, dict)):
        return Fault(path, f"a value of type {type(value).__qualname__} cannot be represented in JSON")
    if depth_max < 1:
        return Fault(path, f"nested deeper than {VALUE_DEPTH_MAX} levels")
    if isinstance(value, dict):
        items: Iterable[tuple[str, Any]] = value.items()
        found = next(filter(None, (_fault_of_key(name, path) for name in value)), None)
        if found is not None:
            return found
    elif _are_plain(value):
        return None
    else:
        items = ((str(index), item) for index, item in enumerate(value))
    faults = (fault(item, *path, name, depth_max=depth_max - 1) for name, item in items)
    return next(filter(None, faults), None)


def _fault_of_key(name: Any, path: tuple[str, ...]) -> Fault | None:
    if not isinstance(name, str):
        return Fault(path, f"a key of type {type(name).__qualname__} is not allowed: keys must be text")
    return None if is_unicode(name) else Fault((*path, name), "the key is not valid Unicode")


def _are_plain(items: list[Any] | tuple[Any, ...]) -> bool:
    """Say whether all items of a list are plain and simple: most long lists have items of one type."""
    kinds = set(map(type, items))
    if not kinds <= _SIMPLE:
        return False
    if kinds <= {float}:
        return all(map(isfinite, items))
    if kinds <= {str}:
        return is_unicode("".join(items))
    return all(_why_not(item) is None for item in items)


def _why_not(value: Any) -> str | None:
    """Return why a simple value is not plain."""
    if isinstance(value, str):
        return None if is_unicode(value) else "the text is not valid Unicode: it contains a lone surrogate"
    if isinstance(value, float):
        return None if isfinite(value) else f"{value} cannot be represented in JSON"
    if isinstance(value, int) and not INTEGER_MIN <= value <= INTEGER_MAX:
        return "the integer does not fit in 64 bits: send it as text"
    return None


def is_unicode(text: str) -> bool:
    """Say whether a string can be encoded as UTF-8, which is impossible with lone surrogates."""
    if text.isascii():
        return True
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def shown_text(text: str) -> str:
    """Return a string with its lone surrogates escaped, as `caf\\udce9`."""
    return text if text.isascii() else text.encode("utf-8", "backslashreplace").decode()


def shown(value: Any, depth_max: int = STORED_DEPTH_MAX) -> Any:
    """Return a plain value in place of one that is not plain, which an older release accepted and stored.

    Lone surrogates are escaped, integers beyond 64 bits become strings, NaN and infinity become null, and
    parts that are deeper than `depth_max` levels, or have no JSON form, become strings.
    """
    if isinstance(value, str):
        return shown_text(value)
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, float):
        return value if isfinite(value) else None
    if isinstance(value, int):
        return value if INTEGER_MIN <= value <= INTEGER_MAX else _as_text(value)
    if depth_max < 1 or not isinstance(value, (dict, list, tuple)):
        return _as_text(value)
    if isinstance(value, dict):
        return {shown_text(str(name)): shown(item, depth_max - 1) for name, item in value.items()}
    return [shown(item, depth_max - 1) for item in value]


def _as_text(value: Any) -> str:
    try:
        return json.dumps(value)
    except (TypeError, ValueError, RecursionError):
        return f"<{type(value).__qualname__}>"
