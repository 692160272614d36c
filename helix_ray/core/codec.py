"""Events to and from JSON values: kind and version in, event out; older versions are lifted by upcasters.

An unknown kind raises UnknownKind: a journal from a later release is never half-understood.

The journal keeps an event as a list of values without names: its fields in order, but for the `id`, which
stands in the row's header as the subject. So a field that is added goes to the end and has a default;
whatever else changes gets a version, with the names of before in FORMER_FIELDS and an upcaster
(tests/golden/fields.json has what is on disks).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields
from operator import attrgetter
from typing import Any, get_args

from helix_ray.core.events import Event

KINDS: dict[str, type[Any]] = {kind.__name__: kind for kind in get_args(Event)}
# Kinds whose shape has changed; all others are at version 1.
VERSIONS: dict[str, int] = {}
# (kind, old version) -> converts the body to the next version.
UPCASTERS: dict[tuple[str, int], Callable[[dict[str, Any]], dict[str, Any]]] = {}
# (kind, old version) -> the names of its fields, in order.
FORMER_FIELDS: dict[tuple[str, int], tuple[str, ...]] = {}

SUBJECT = "id"
# kind -> the names of its fields, in order.
FIELDS: dict[str, tuple[str, ...]] = {
    name: tuple(f.name for f in fields(kind)) for name, kind in KINDS.items()
}


class UnknownKind(Exception):
    """The journal contains a kind or version of fact that this release does not know."""


def kind_of(event: Event) -> tuple[str, int]:
    """Return an event's kind and version."""
    kind = type(event).__name__
    return kind, VERSIONS.get(kind, 1)


def from_body(kind: str, version: int, body: dict[str, Any]) -> Event:
    """Build the event of a journal row; raise UnknownKind where this release cannot."""
    made = KINDS.get(kind)
    if made is None or version > VERSIONS.get(kind, 1):
        raise UnknownKind(f"{kind} version {version}")
    while version < VERSIONS.get(kind, 1):
        body = UPCASTERS[kind, version](body)
        version += 1
    event: Event = made(**body)
    return event


def values_of(kind: str) -> Callable[[Any], tuple[Any, ...]]:
    """Return a function for the values of a kind's events as stored in the journal: the fields
    in order, without the id."""
    names = [name for name in FIELDS[kind] if name != SUBJECT]
    if not names:
        return lambda event: ()
    values = attrgetter(*names)
    if len(names) > 1:
        return values
    return lambda event: (values(event),)


def from_values(kind: str, version: int, subject: str, values: list[Any]) -> Event:
    """Build an event from the values of values_of; raise UnknownKind where this release cannot."""
    return maker_of(kind, version)(subject, values)


def maker_of(kind: str, version: int) -> Callable[[str, list[Any]], Event]:
    """Return a function that makes events from subject and values of values_of; it or its function raises
    UnknownKind where this release cannot."""
    if version != VERSIONS.get(kind, 1) or kind not in KINDS:
        names = FORMER_FIELDS.get((kind, version), ())
        return lambda subject, values: from_body(kind, version, named(names, subject, values))
    made = KINDS[kind]
    if kind in _WITH_SUBJECT:
        return lambda subject, values: made(subject, *values)
    return lambda subject, values: made(*values)


def named(names: tuple[str, ...], subject: str, values: list[Any]) -> dict[str, Any]:
    """Return an event's fields by name; fields that were added later are missing from the values
    and have their defaults."""
    body: dict[str, Any] = {SUBJECT: subject} if SUBJECT in names else {}
    body.update(zip((name for name in names if name != SUBJECT), values, strict=False))
    return body


_WITH_SUBJECT = frozenset(kind for kind, names in FIELDS.items() if names[:1] == (SUBJECT,))
