"""Makes proofs about the facts of a journal, from its tree in memory or in its file."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Protocol

from helix_ray.core.proof_questions import ProveConsistency, ProveInclusion
from helix_ray.core.views.proofs import ConsistencyView, InclusionView
from helix_ray.journal.errors import JournalDamaged
from helix_ray.journal.layout import connect
from helix_ray.journal.sqlite import FILE_NAME
from helix_ray.journal.stored import TRIES
from helix_ray.journal.tree import StoredTree


class ProvingTree(Protocol):
    """A Merkle tree that proves what it contains."""

    def leaf(self, seq: int) -> bytes:
        """Return the leaf of a fact."""
        ...

    def root(self, size: int) -> bytes:
        """Return the root over the first `size` facts."""
        ...

    def inclusion_proof(self, seq: int, size: int) -> list[bytes]:
        """Return the path from a fact to the root of the first `size`."""
        ...

    def consistency_proof(self, old: int, new: int) -> list[bytes]:
        """Return the proof that the tree of `new` facts begins with that of `old`."""
        ...


def inclusion(tree: ProvingTree, seq: int, size: int) -> InclusionView:
    """Return the proof that fact `seq` is among the first `size`. Raises ValueError."""
    path = tree.inclusion_proof(seq, size)
    return {"seq": seq, "size": size, "leaf": tree.leaf(seq), "root": tree.root(size), "path": path}


def consistency(tree: ProvingTree, old: int, new: int) -> ConsistencyView:
    """Return the proof that the first `new` facts begin with the first `old`. Raises ValueError."""
    path = tree.consistency_proof(old, new)
    return {"old": old, "new": new, "old_root": tree.root(old), "new_root": tree.root(new), "path": path}


def prove(tree: ProvingTree, question: ProveInclusion | ProveConsistency) -> InclusionView | ConsistencyView:
    """Answer a question whose sizes are given (core/proof_questions.py: within)."""
    if isinstance(question, ProveInclusion):
        return inclusion(tree, question.seq, question.size or 0)
    return consistency(tree, question.old, question.new or 0)


def prove_stored(
    data_dir: Path, question: ProveInclusion | ProveConsistency
) -> InclusionView | ConsistencyView:
    """Answer from the journal's file, also in a process that does not own it.

    Raises OSError, sqlite3.Error, JournalDamaged.
    """
    for left in reversed(range(TRIES)):
        try:
            with contextlib.closing(connect(data_dir / FILE_NAME, "ro")) as con:
                # One snapshot of the file: rows may move to a segment meanwhile.
                con.execute("BEGIN")
                return prove(StoredTree(con), question)
        except JournalDamaged:
            # An erasure may have just replaced the segment.
            if not left:
                raise
    raise AssertionError
