"""Facts about the record itself: what was erased of it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(slots=True)
class FactsErased:
    """What facts with these seqs said was erased, and why; that they happened, when and by whom stays on record."""

    seqs: list[int]
    reason: str


@dataclass(slots=True)
class Erased:
    """What an erased fact reads as: its kind, and what it was about. No fact is ever written with it."""

    id: str
    kind: str
