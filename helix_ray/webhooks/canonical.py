"""Canonical JSON (RFC 8785) of any value that the journal can hold.

Receivers parse the body with doubles, so integers beyond 2^53 - 1 travel as text, and so do floats that are
printed like such integers. What has no JSON form is escaped as in answers (core/values.shown).
"""

from __future__ import annotations

from typing import Any

import orjson

from helix_ray.core.values import shown

INTEGER_EXACT_MAX = 2**53 - 1
# Doubles from here on are printed with an exponent.
EXPONENT_FROM = 1e21


def canonical(value: Any) -> bytes:
    """Return the canonical JSON of a value, in UTF-8."""
    plain = exact(shown(value))
    if _is_simple(plain):
        return orjson.dumps(plain, option=orjson.OPT_SORT_KEYS)
    import rfc8785

    return rfc8785.dumps(plain)


def _is_simple(value: Any) -> bool:
    """Say whether every writer of JSON prints a value alike: without floats, and with ASCII keys, which have
    one order only."""
    kind = type(value)
    if kind is dict:
        return all(name.isascii() for name in value) and all(map(_is_simple, value.values()))
    if kind is list:
        return all(map(_is_simple, value))
    return kind is not float


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
