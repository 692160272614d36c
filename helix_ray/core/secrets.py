"""Secret fields of orders, facts and objects, and how they are masked.

A class declares them: `secret_fields: ClassVar[tuple[str, ...]] = ("password_hash",)`. A secret is named by a
path with dots: a field, then keys of its value, and `*` for all items of a list or an object. The value at
the end of a path is replaced by MASK, unless it is null.
"""

from __future__ import annotations

import reprlib
from collections.abc import Mapping
from dataclasses import fields, replace
from typing import Any, Final, TypeVar

T = TypeVar("T")

MASK: Final = "***"


def secrets_of(kind: type[Any]) -> tuple[str, ...]:
    """Return the paths of the secrets of a class."""
    found: tuple[str, ...] = getattr(kind, "secret_fields", ())
    return found


def masked(thing: T) -> T:
    """Return a dataclass with masked secrets; itself where it has none."""
    changed: dict[str, Any] = {}
    for way in secrets_of(type(thing)):
        name, _, rest = way.partition(".")
        value = changed.get(name, getattr(thing, name))
        changed[name] = _mask(value, rest.split(".") if rest else [])
    return replace(thing, **changed) if changed else thing  # type: ignore[type-var]


def _mask(value: Any, steps: list[str]) -> Any:
    if value is None:
        return None
    if not steps:
        return MASK
    step, rest = steps[0], steps[1:]
    if isinstance(value, Mapping):
        names = value.keys() if step == "*" else {step} & value.keys()
        return {**value, **{name: _mask(value[name], rest) for name in names}} if names else value
    if step == "*" and isinstance(value, (list, tuple)):
        return type(value)(_mask(inner, rest) for inner in value)
    return value


def conceal(kind: type[T]) -> type[T]:
    """Give a dataclass with secrets a masked repr, because tracebacks and log lines show reprs."""
    if not secrets_of(kind):
        return kind
    names = [field.name for field in fields(kind)]  # type: ignore[arg-type]

    @reprlib.recursive_repr()
    def shown(self: Any) -> str:
        safe = masked(self)
        return f"{kind.__name__}({', '.join(f'{name}={getattr(safe, name)!r}' for name in names)})"

    kind.__repr__ = shown  # type: ignore[method-assign]
    return kind
