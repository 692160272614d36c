"""Proofs about the journal as questions are answered with them. Hashes are SHA-256, as bytes."""

from __future__ import annotations

from typing import TypedDict


class SizeView(TypedDict):
    """How many facts the journal has."""

    size: int


class CheckpointView(TypedDict):
    """The newest checkpoint as a signed note (helix_ray/checkpoints.py)."""

    note: str


class RecordedCheckpointView(TypedDict):
    """A checkpoint that fact `seq` has, signed at `at` (epoch seconds)."""

    seq: int
    at: float
    size: int
    root: str
    note: str


class CheckpointPageView(TypedDict):
    """A page of checkpoints, the newest first; `next` is the `before` of the next page."""

    rows: list[RecordedCheckpointView]
    next: int | None


def page_of(rows: list[RecordedCheckpointView], limit: int) -> CheckpointPageView:
    """Return a page of the first rows, of which there is one more where another page follows."""
    shown = rows[:limit]
    return {"rows": shown, "next": shown[-1]["seq"] if len(rows) > limit else None}


class InclusionView(TypedDict):
    """The path from fact `seq` with this leaf to the root of the first `size` facts."""

    seq: int
    size: int
    leaf: bytes
    root: bytes
    path: list[bytes]


class ConsistencyView(TypedDict):
    """The proof that the first `new` facts begin with the first `old`, whose roots are given."""

    old: int
    new: int
    old_root: bytes
    new_root: bytes
    path: list[bytes]
