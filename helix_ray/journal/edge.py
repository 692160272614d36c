"""The right edge of a journal's tree while facts are appended: what HEAD claims after every commit.

Nodes are stored for complete tiles of 256 facts (journal/rows.py). The edge is the peaks over these, and the
leaves of the facts behind them. Its hash, SHA-256(0x02 || peaks || leaves), covers the same facts as the
root, and grows by one update of a hash a commit, where a root takes a hash for each level of the tree.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from hashlib import sha256
from typing import NamedTuple

from helix_ray.journal.hashing import HASH_BYTES
from helix_ray.journal.merkle import Frontier, Node
from helix_ray.journal.rows import TILE_FACTS, TILE_LEVEL

_EDGE = b"\x02"
_TILE_BYTES = TILE_FACTS * HASH_BYTES


class Growth(NamedTuple):
    """What a commit adds to an edge: how many facts, and what makes their leaves.

    Where it completes tiles: these leaves, the peaks over whole tiles with it, and the completed nodes.
    """

    facts: int
    make: Callable[[], bytes]
    leaves: bytes = b""
    tiles: Frontier | None = None
    nodes: Sequence[Node] = ()


class TreeEdge:
    """The peaks over whole tiles, and the leaves after them.

    Leaves are made when they are needed: for a tile that a commit completes, for the hash and for the root.
    """

    __slots__ = ("_begun", "_leaves", "_owed", "_tiles", "size")

    def __init__(self, tiles: Frontier | None = None, leaves: bytes = b"") -> None:
        self._owed: list[Callable[[], bytes]] = []
        self._set(Frontier() if tiles is None else tiles, leaves)

    def _set(self, tiles: Frontier, leaves: bytes) -> None:
        self._tiles, self._leaves = tiles, leaves
        self.size = tiles.size + len(leaves) // HASH_BYTES
        self._begun = sha256(b"".join((_EDGE, *tiles.peaks, leaves)))

    def growth(self, facts: int, make: Callable[[], bytes]) -> Growth:
        """Return what so many facts, whose leaves `make` returns, would add."""
        if self.size % TILE_FACTS + facts < TILE_FACTS:
            return Growth(facts, make)
        self._catch_up()
        leaves = make()
        known = self._leaves + leaves
        tiles, nodes = self._tiles.extended(known[: len(known) // _TILE_BYTES * _TILE_BYTES], TILE_LEVEL)
        return Growth(facts, make, leaves, tiles, nodes)

    def grow(self, growth: Growth) -> None:
        """Add the newest growth."""
        if growth.tiles is not None:
            self._set(growth.tiles, growth.leaves[(growth.tiles.size - self.size) * HASH_BYTES :])
        else:
            self.size += growth.facts
            self._owed.append(growth.make)

    def hash(self) -> str:
        """Return the hash over the whole edge (hex)."""
        self._catch_up()
        return self._begun.hexdigest()

    def root(self) -> bytes:
        """Return the root over all leaves."""
        self._catch_up()
        return self._tiles.extended(self._leaves, TILE_LEVEL)[0].root()

    def _catch_up(self) -> None:
        """Add the leaves that are owed."""
        if self._owed:
            leaves = b"".join([make() for make in self._owed])
            self._owed.clear()
            self._leaves += leaves
            self._begun.update(leaves)
