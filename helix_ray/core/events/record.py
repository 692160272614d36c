"""Facts about the journal itself: erasures."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(slots=True)
class FactsErased:
    """The bodies of the facts with these seqs were erased, and why; their kinds, times
    and authors stay on record."""

    seqs: list[int]
    reason: str


@dataclass(slots=True)
class Erased:
    """The form in which an erased fact is read: its kind and its subject. It is never written."""

    id: str
    kind: str
