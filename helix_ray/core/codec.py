"""Events to and from JSON values: kind and version in, event out; older versions are lifted by upcasters.

An unknown kind raises UnknownKind: a journal from a later release is never half-understood.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields
from typing import Any, get_args

from helix_ray.core.events import Event

KINDS: dict[str, type[Any]] = {kind.__name__: kind for kind in get_args(Event)}
# Kinds whose shape has changed since 1; all others are at version 1.
VERSIONS: dict[str, int] = {}
# (kind, old version) -> lift the body to the next version.
UPCASTERS: dict[tuple[str, int], Callable[[dict[str, Any]], dict[str, Any]]] = {}


class UnknownKind(Exception):
    """The journal holds a kind or version of fact that this release does not know."""


def kind_of(event: Event) -> tuple[str, int]:
    """Return an event's kind and version."""
    kind = type(event).__name__
    return kind, VERSIONS.get(kind, 1)


def to_body(event: Event) -> dict[str, Any]:
    """Return an event as JSON values; the same as what orjson writes for the dataclass."""
    return {f.name: getattr(event, f.name) for f in fields(event)}


def from_body(kind: str, version: int, body: dict[str, Any]) -> Event:
    """Build the event that a journal row holds; raise UnknownKind where this release cannot."""
    made = KINDS.get(kind)
    if made is None or version > VERSIONS.get(kind, 1):
        raise UnknownKind(f"{kind} version {version}")
    while version < VERSIONS.get(kind, 1):
        body = UPCASTERS[kind, version](body)
        version += 1
    event: Event = made(**body)
    return event
