"""The limits of request models in our words: what pydantic says of a value beyond one, as a breach."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from helix_ray.core.bounds import Breach, chars_breach, items_breach, number_breach

_Find = Callable[[Any, Mapping[str, Any]], Breach | None]


def breach_of(error: Mapping[str, Any]) -> Breach | None:
    """Return the limit that an error of pydantic is about; None for other errors."""
    find = _FOUND_BY.get(error["type"])
    return None if find is None or "input" not in error else find(error["input"], error["ctx"])


def _number(value: Any) -> float:
    """Return the number that was compared: pydantic reads those of queries from text."""
    return float(value) if isinstance(value, str) else value


def _items(value: Any, context: Mapping[str, Any]) -> int:
    return int(context.get("actual_length") or len(value))


_FOUND_BY: Final[Mapping[str, _Find]] = {
    "less_than_equal": lambda value, limits: number_breach(_number(value), maximum=limits["le"]),
    "greater_than_equal": lambda value, limits: number_breach(_number(value), minimum=limits["ge"]),
    "greater_than": lambda value, limits: number_breach(_number(value), above=limits["gt"]),
    "string_too_long": lambda value, limits: chars_breach(len(value), chars_max=limits["max_length"]),
    "string_too_short": lambda value, limits: chars_breach(len(value), chars_min=limits["min_length"]),
    "too_long": lambda value, limits: items_breach(_items(value, limits), items_max=limits["max_length"]),
    "too_short": lambda value, limits: items_breach(_items(value, limits), items_min=limits["min_length"]),
}
