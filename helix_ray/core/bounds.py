"""Refusals of values beyond a limit: the limit and what was given, in words, and the limit for programs.

    number    "must be at most 100, not 101"                        {"maximum": 100}
    text      "must have at most 500 characters, not 501"           {"chars_max": 500}
    several   "must have at most 64 items, not 65"                  {"items_max": 64}

The words never contain a text that was given: a password in the wrong field must not be echoed.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, NamedTuple


class Breach(NamedTuple):
    """Why a value is refused; empty where its form is wrong. `path` leads to the wrong part of a value."""

    why: str = ""
    details: Mapping[str, Any] = MappingProxyType({})
    path: str = ""

    def within(self, name: str) -> Breach:
        """Return the same of the value that contains this one under a name."""
        return self._replace(path=f"{name}.{self.path}" if self.path else name)


WRONG_FORM = Breach()


def number_breach(
    value: float, *, minimum: float | None = None, above: float | None = None, maximum: float | None = None
) -> Breach | None:
    """Return why a number outside its limits is refused; None for one within them."""
    if maximum is not None and value > maximum:
        return Breach(f"must be at most {_shown(maximum)}, not {_shown(value)}", {"maximum": maximum})
    if minimum is not None and value < minimum:
        return Breach(f"must be at least {_shown(minimum)}, not {_shown(value)}", {"minimum": minimum})
    if above is not None and value <= above:
        return Breach(f"must be above {_shown(above)}, not {_shown(value)}", {"minimum_above": above})
    return None


def chars_breach(count: int, *, chars_min: int = 0, chars_max: int | None = None) -> Breach | None:
    """Return why a text of `count` characters is refused; None for one within the limits."""
    return _size_breach(count, "character", "chars", chars_min, chars_max)


def items_breach(count: int, *, items_min: int = 0, items_max: int | None = None) -> Breach | None:
    """Return why a list or object of `count` items is refused; None for one within the limits."""
    return _size_breach(count, "item", "items", items_min, items_max)


def _size_breach(count: int, unit: str, detail: str, least: int, most: int | None) -> Breach | None:
    if most is not None and count > most:
        return Breach(f"must have at most {_several(most, unit)}, not {count:,}", {f"{detail}_max": most})
    if count < least:
        return Breach(f"must have at least {_several(least, unit)}, not {count:,}", {f"{detail}_min": least})
    return None


def _several(count: int, unit: str) -> str:
    return f"{count:,} {unit}" if count == 1 else f"{count:,} {unit}s"


def _shown(number: float) -> str:
    """Return a number as people write it: 1,099,511,627,776 and 0.001."""
    if isinstance(number, float) and not (number.is_integer() and abs(number) < 2**63):
        return f"{number:.10g}"
    return f"{int(number):,}" if abs(number) < 2**64 else "one beyond 64 bits"
