"""The right edge of a journal's tree while facts are appended: what HEAD claims after every commit.

Nodes are stored for complete tiles of 256 facts (journal/rows.py). The edge is the peaks over these, and the
leaves of the facts behind them. Its hash, SHA-256(0x02 || peaks || leaves), covers the same facts as the
root, and grows by one update of a hash a commit, where a root takes a hash for each level of the tree.
"""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import sha256

from helix_ray.journal.merkle import Frontier, Node
from helix_ray.journal.rows import TILE_FACTS, TILE_LEVEL

_EDGE = b"\x02"


class TreeEdge:
    """The peaks over whole tiles, and the leaves after them."""

    __slots__ = ("_begun", "leaves", "size", "tiles")

    def __init__(self, tiles: Frontier | None = None, leaves: Sequence[bytes] = ()) -> None:
        self._set(Frontier() if tiles is None else tiles, leaves)

    def _set(self, tiles: Frontier, leaves: Sequence[bytes]) -> None:
        self.tiles, self.leaves = tiles, list(leaves)
        self.size = tiles.size + len(leaves)
        self._begun = sha256(b"".join((_EDGE, *tiles.peaks, *leaves)))

    def tiles_with(self, leaves: Sequence[bytes]) -> tuple[Frontier, list[Node]]:
        """Return the peaks over whole tiles after more leaves, and the nodes that these complete."""
        known = self.leaves
        if len(known) + len(leaves) < TILE_FACTS:
            return self.tiles, []
        known = [*known, *leaves]
        return self.tiles.extended(known[: len(known) // TILE_FACTS * TILE_FACTS], TILE_LEVEL)

    def grow(self, leaves: Sequence[bytes], tiles: Frontier) -> None:
        """Add leaves; `tiles` is what tiles_with said of them."""
        if tiles is not self.tiles:
            self._set(tiles, leaves[tiles.size - self.size :])
            return
        self.leaves += leaves
        self.size += len(leaves)
        self._begun.update(b"".join(leaves))

    def hash(self) -> str:
        """Return the hash over the whole edge (hex)."""
        return self._begun.hexdigest()

    def root(self) -> bytes:
        """Return the root over all leaves."""
        return self.tiles.extended(self.leaves, TILE_LEVEL)[0].root()
