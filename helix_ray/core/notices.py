"""Notices: the public form of facts, each with one public name, for those who may see them (core/about.py).

A fact becomes at most one notice (core/tellings.py), the same for webhooks and for the event stream. A filter
selects notices; an empty part of it selects all.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final, NamedTuple

from helix_ray.core import events as ev
from helix_ray.core.about import About
from helix_ray.core.errors import Rejected, invalid
from helix_ray.core.lifecycle import Status
from helix_ray.core.secrets import masked
from helix_ray.core.tellings import TELLINGS, NoticeData
from helix_ray.core.values import STORED_DEPTH_MAX, fault, shown

WILDCARD: Final = "*"
# How many values each part of a filter may have, and of how many characters.
FILTER_VALUES_MAX = 100
FILTER_VALUE_CHARS_MAX = 256
STATUSES: Final = tuple(status.value for status in Status)
# Every public name.
EVENTS: Final[tuple[str, ...]] = tuple(dict.fromkeys(n for each in TELLINGS.values() for n in each.names))
# `task.*` and so on, one for each family.
FAMILIES: Final = tuple(dict.fromkeys(f"{name.partition('.')[0]}.*" for name in EVENTS))


class Notice(NamedTuple):
    """The public form of one fact: its place in the journal, when it happened (epoch seconds), its public
    name, the id of its subject, and the data for receivers. `about` decides who may see it."""

    seq: int
    at: float
    event: str
    subject: str
    data: NoticeData
    about: About


def notice_of(fact: ev.Fact, about: About) -> Notice | None:
    """Return the notice of a fact; None if the fact is not public."""
    telling = TELLINGS.get(type(fact.event))
    if telling is None:
        return None
    event = masked(fact.event)
    data = telling.data(fact, event, about)
    if not _is_plain(data):
        data = shown(data)
    return Notice(fact.seq, fact.at, telling.name(event), ev.subject_of(event), data, about)


def _is_plain(data: NoticeData) -> bool:
    """Say whether data is plain JSON; most of its values are short text."""
    for value in data.values():
        if value is None or (type(value) is str and value.isascii()):
            continue
        if fault(value, depth_max=STORED_DEPTH_MAX) is not None:
            return False
    return True


@dataclass(frozen=True, slots=True)
class Filter:
    """What of the notices is wanted. `events` are whole names; all `labels` must be the task's. Projects,
    types, labels and statuses are a task's: a notice about something else has none (save its project)."""

    events: tuple[str, ...] = ()
    projects: tuple[str, ...] = ()
    types: tuple[str, ...] = ()
    labels: tuple[tuple[str, str], ...] = ()
    statuses: tuple[str, ...] = ()

    def wants(self, notice: Notice) -> bool:
        """Say whether a notice is wanted."""
        about = notice.about
        return (
            (not self.events or notice.event in self.events)
            and (not self.projects or about.project in self.projects)
            and (not self.types or about.type in self.types)
            and (not self.statuses or about.status in self.statuses)
            and (not self.labels or all(about.labels.get(name) == value for name, value in self.labels))
        )


def filter_of(
    events: Iterable[str] = (),
    projects: Iterable[str] = (),
    types: Iterable[str] = (),
    labels: Mapping[str, str] | Iterable[tuple[str, str]] = (),
    statuses: Iterable[str] = (),
) -> Filter | Rejected:
    """Return a filter. `task.*` and `*` stand for all names that begin so; an unknown name or status is
    refused with those that there are."""
    pairs = labels.items() if isinstance(labels, Mapping) else labels
    made = Filter(
        tuple(events),
        tuple(dict.fromkeys(projects)),
        tuple(dict.fromkeys(types)),
        tuple(dict(pairs).items()),
        tuple(dict.fromkeys(statuses)),
    )
    refused = _too_large(made) or _unknown("statuses", made.statuses, STATUSES)
    if refused is not None:
        return refused
    named = expanded(made.events)
    if isinstance(named, Rejected):
        return named
    return Filter(named, made.projects, made.types, made.labels, made.statuses)


def expanded(events: Iterable[str]) -> tuple[str, ...] | Rejected:
    """Return the names that some names and wildcards stand for; () for all of them."""
    asked = tuple(dict.fromkeys(events))
    if WILDCARD in asked:
        return ()
    named: dict[str, None] = {}
    for name in asked:
        found = [each for each in EVENTS if _stands_for(name, each)]
        if not found:
            return _not_known("events", (name,), (*EVENTS, *FAMILIES, WILDCARD))
        named.update(dict.fromkeys(found))
    return tuple(named)


def _stands_for(name: str, event: str) -> bool:
    return name == event or (name in FAMILIES and event.startswith(name[:-1]))


def _unknown(field: str, asked: Iterable[str], known: tuple[str, ...]) -> Rejected | None:
    unknown = [each for each in asked if each not in known]
    if not unknown:
        return None
    return _not_known(field, unknown, known)


def _not_known(field: str, unknown: Iterable[str], known: tuple[str, ...]) -> Rejected:
    return invalid(f"Unknown value in {field}", field=field, unknown=[*unknown], allowed_values=[*known])


def _too_large(made: Filter) -> Rejected | None:
    for field, values in (
        ("events", made.events), ("projects", made.projects), ("types", made.types),
        ("labels", [text for pair in made.labels for text in pair]), ("statuses", made.statuses),
    ):  # fmt: skip
        if len(values) > FILTER_VALUES_MAX:
            return invalid("Too many values in a filter", field=field, values_max=FILTER_VALUES_MAX)
        if any(len(value) > FILTER_VALUE_CHARS_MAX for value in values):
            return invalid("A value of a filter is too long", field=field, chars_max=FILTER_VALUE_CHARS_MAX)
    return None
