"""Canonical JSON (RFC 8785) of any value that the journal can hold.

Receivers parse the body with doubles, so integers beyond 2^53 - 1 travel as text, and so do floats that are
printed like such integers. What has no JSON form is escaped as in answers (core/values.shown).
"""

from __future__ import annotations

from typing import Any

import orjson

from helix_ray.core.values import STORED_DEPTH_MAX, is_unicode, shown

INTEGER_EXACT_MAX = 2**53 - 1
# Doubles from here on are printed with an exponent.
EXPONENT_FROM = 1e21


def canonical(value: Any) -> bytes:
    """Return the canonical JSON of a value, in UTF-8."""
    if _is_simple(value, STORED_DEPTH_MAX):
        return orjson.dumps(value, option=orjson.OPT_SORT_KEYS)
    import rfc8785

    return rfc8785.dumps(exact(shown(value)))


def _is_simple(value: Any, depth_max: int) -> bool:
    """Say whether a value is sent as it is, and all writers of JSON print it alike: without floats, and with
    ASCII keys, which have one order only."""
    kind = type(value)
    if kind is str:
        return value.isascii() or is_unicode(value)
    if kind is dict and depth_max > 0:
        # A generator would take twice as long, and each event has some.
        for name, item in value.items():
            if type(name) is not str or not name.isascii():
                return False
            if not (type(item) is str and item.isascii()) and not _is_simple(item, depth_max - 1):
                return False
        return True
    if kind is list or kind is tuple:
        return depth_max > 0 and all(_is_simple(item, depth_max - 1) for item in value)
    if kind is int:
        return bool(-INTEGER_EXACT_MAX <= value <= INTEGER_EXACT_MAX)
    return value is None or kind is bool


def exact(value: Any) -> Any:
    """Return a value in which every number is read exactly by a parser that has only doubles."""
    if isinstance(value, dict):
        return {name: exact(item) for name, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [exact(item) for item in value]
    if isinstance(value, bool):
        return value
    if isinstance(value, int):
        return value if -INTEGER_EXACT_MAX <= value <= INTEGER_EXACT_MAX else str(value)
    if isinstance(value, float) and INTEGER_EXACT_MAX < abs(value) < EXPONENT_FROM:
        return str(int(value))
    return value
