"""Holds answers against the types that document them (helix_ray/wire)."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

from pydantic import TypeAdapter


@lru_cache
def _adapter(kind: type[Any]) -> TypeAdapter[Any]:
    return TypeAdapter(kind)


def shaped(kind: type[Any], content: Any) -> Any:
    """Return JSON content that has exactly the fields of a type; fails where it has others."""
    return _adapter(kind).validate_python(content)
