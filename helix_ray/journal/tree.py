"""Reads the Merkle tree over a journal's facts from its file."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable

from helix_ray.journal.edge import TreeEdge
from helix_ray.journal.errors import JournalDamaged
from helix_ray.journal.interned import Interned
from helix_ray.journal.layout import node_query
from helix_ray.journal.merkle import (
    Frontier,
    Node,
    consistency_path,
    inclusion_path,
    root_of,
    subtree_of,
)
from helix_ray.journal.rows import TILE_FACTS, TILE_LEVEL
from helix_ray.journal.stored import StoredFacts

# How many facts are read at a time when all are verified.
TILES_PER_STEP = 40
# Tiles whose leaves are kept for proofs, of some 17 KiB each.
TILES_KEPT_MAX = 32


class StoredTree(StoredFacts):
    """Leaves, nodes, roots and proofs of one file; raises JournalDamaged for missing or changed facts."""

    def __init__(self, con: sqlite3.Connection, words: Interned | None = None) -> None:
        super().__init__(con, words)
        self._node_query = node_query(con)
        # The leaves of tiles by their first index, the one that was used last at the end.
        self._tiles: dict[int, list[bytes]] = {}

    def node(self, level: int, place: int) -> bytes:
        """Return the hash of a complete subtree."""
        if level < TILE_LEVEL:
            return subtree_of(self._within_tile(place << level, 1 << level))
        row = self._con.execute(self._node_query, (level, place)).fetchone()
        if row is None or not isinstance(row[0], bytes):
            raise JournalDamaged(f"the tree's node {place} of level {level} is missing from the journal")
        return row[0]

    def _within_tile(self, first: int, count: int) -> list[bytes]:
        """Return leaves of one tile. Leaves never change, so those of the tiles of the last proofs are kept:
        every proof needs the newest tile, which only grows, and one other."""
        tile = first // TILE_FACTS * TILE_FACTS
        end = first - tile + count
        known = self._tiles.pop(tile, None) or []
        if len(known) < end:
            through = min(tile + TILE_FACTS, max(self.newest(), first + count))
            known += self.leaves(tile + len(known), through)
        self._tiles[tile] = known
        if len(self._tiles) > TILES_KEPT_MAX:
            del self._tiles[next(iter(self._tiles))]
        return known[first - tile : end]

    def frontier(self, size: int) -> Frontier:
        """Return the right edge of the tree of the first `size` facts."""
        return Frontier.of(self.node, size)

    def edge(self, size: int) -> TreeEdge:
        """Return the right edge of the tree of the first `size` facts, as it grows."""
        whole = size // TILE_FACTS * TILE_FACTS
        return TreeEdge(self.frontier(whole), b"".join(self.leaves(whole, size)))

    def root(self, size: int) -> bytes:
        """Return the root of the tree of the first `size` facts."""
        return root_of(self.node, size)

    def leaf(self, seq: int) -> bytes:
        """Return the leaf of a fact."""
        return self.leaves(seq - 1, seq)[0]

    def inclusion_proof(self, seq: int, size: int) -> list[bytes]:
        """Return the path from a fact to the root of the first `size`. Raises ValueError."""
        return inclusion_path(self.node, seq - 1, size)

    def consistency_proof(self, old: int, new: int) -> list[bytes]:
        """Return the proof that the tree of `new` facts begins with that of `old`. Raises ValueError."""
        return consistency_path(self.node, old, new)

    # ------------------------------------------------------------------------------------------ checking

    def check(self, after: int, size: int, on_facts: Callable[[int], None] = lambda seq: None) -> Frontier:
        """Verify the facts from the tile of fact `after` + 1 on, and all nodes over
        them; return the frontier.

        An incomplete tile at the end has no node: the caller compares the root. `on_facts` is
        called with the progress.
        """
        first = after // TILE_FACTS * TILE_FACTS
        frontier = self.frontier(first)
        while first < size:
            last = min(size, first + TILES_PER_STEP * TILE_FACTS)
            leaves = b"".join(self.leaves(first, last))
            frontier, completed = frontier.extended(leaves, TILE_LEVEL)
            self._check_nodes(completed)
            first = last
            on_facts(first)
        return frontier

    def _check_nodes(self, completed: list[Node]) -> None:
        for level, place, expected in completed:
            if self.node(level, place) != expected:
                first = place << level
                raise JournalDamaged(
                    f"one of facts {first + 1} to {first + (1 << level)} was changed after it was "
                    "written: they do not match the tree"
                )
