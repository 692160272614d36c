"""Secret fields of orders, facts and objects, and how they are masked.

A class declares them: `secret_fields: ClassVar[tuple[str, ...]] = ("password_hash",)`. A secret is named by a
path with dots: a field, then keys of its value, and `*` for all items of a list or an object. The value at
the end of a path is replaced by MASK, unless it is null.
"""

from __future__ import annotations

import operator
import reprlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import fields, replace
from functools import lru_cache
from typing import Any, Final, TypeAlias, TypeVar, cast

T = TypeVar("T")
# Where paths lead, step by step; an empty one is the end of a path.
Steps: TypeAlias = "dict[str, Steps]"

MASK: Final = "***"

# What a run object has that is stored sealed (core/sealed.py), and what is shown to nobody.
SEALED_IN_RUN: Final = ("env.*", "stdin", "stdin_base64", "runtime_env")
SECRET_IN_RUN: Final = (*SEALED_IN_RUN, "payload")


def below(place: str, ways: Iterable[str]) -> tuple[str, ...]:
    """Return ways as they are from further out: of `env.*` below `spec.run`, `spec.run.env.*`."""
    return tuple(f"{place}.{way}" for way in ways)


def secrets_of(kind: type[Any]) -> tuple[str, ...]:
    """Return the paths of the secrets of a class."""
    found: tuple[str, ...] = getattr(kind, "secret_fields", ())
    return found


def masked(thing: T) -> T:
    """Return a dataclass with MASK in place of its secrets; itself where it has none."""
    return rewritten(thing, secrets_of(type(thing)), lambda _: MASK)


def rewritten(thing: T, ways: Iterable[str], change: Callable[[Any], Any]) -> T:
    """Return a dataclass or a mapping with `change` of what the ways lead to, null left as it is; itself
    where that changes nothing."""
    steps = _steps(tuple(ways))
    if isinstance(thing, Mapping):
        return cast(T, _along(thing, steps, change))
    changed: dict[str, Any] = {}
    for name, rest in steps.items():
        before = getattr(thing, name)
        after = _along(before, rest, change)
        if after is not before:
            changed[name] = after
    return replace(thing, **changed) if changed else thing  # type: ignore[type-var]


@lru_cache
def _steps(ways: tuple[str, ...]) -> Steps:
    """Return the ways as a tree, in which what they have in common is walked once."""
    root: Steps = {}
    for way in ways:
        at = root
        for step in way.split("."):
            at = at.setdefault(step, {})
    return root


def _along(value: Any, steps: Steps, change: Callable[[Any], Any]) -> Any:
    """Follow the steps. Every task goes through here several times, and most have no secret."""
    if value is None:
        return None
    if not steps:
        return change(value)
    # The first of the two tells most of them, and costs a tenth.
    if isinstance(value, dict) or isinstance(value, Mapping):  # noqa: SIM101
        return _along_names(value, steps, change)
    if "*" in steps and isinstance(value, (list, tuple)):
        rest = steps["*"]
        items = [_along(item, rest, change) for item in value]
        same = all(map(operator.is_, items, value))
        return value if same else type(value)(items)
    return value


def _along_names(value: Mapping[str, Any], steps: Steps, change: Callable[[Any], Any]) -> Any:
    if "*" not in steps and steps.keys().isdisjoint(value):
        return value
    changed: dict[str, Any] = {}
    for step, rest in steps.items():
        for name in value if step == "*" else (step,):
            if name in value:
                before = value[name]
                after = _along(before, rest, change)
                if after is not before:
                    changed[name] = after
    return {**value, **changed} if changed else value


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
