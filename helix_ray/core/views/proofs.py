"""Proofs about the journal as questions are answered with them. Hashes are SHA-256, as bytes."""

from __future__ import annotations

from typing import TypedDict


class SizeView(TypedDict):
    """How many facts the journal has."""

    size: int


class CheckpointView(TypedDict):
    """The newest checkpoint as a signed note (helix_ray/checkpoints.py)."""

    note: str


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
