"""The Merkle tree of RFC 6962 over a journal's facts: growing it, its roots, and its
proofs. Pure: nodes are arguments. A row of leaves or nodes is one value, 32 bytes of it for each.

Leaf i (from 0) is fact i + 1. The node at level L and index i covers the 2**L leaves from i * 2**L on. Only
complete subtrees have nodes, so nodes never change. The root of any size, and any proof, is computed from
O(log n) of them. A parent is SHA-256(0x01 || left || right); proofs.py defines the leaf.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from hashlib import sha256

from helix_ray.journal.hashing import HASH_BYTES, native

# The root of an empty tree.
EMPTY_ROOT = sha256(b"").digest()
_PARENT = b"\x01"
# A copy of a hash that has begun costs less than another one.
_begin_parent = sha256(_PARENT).copy

# (level, index) -> hash of that complete subtree.
Nodes = Callable[[int, int], bytes]
# (level, index, hash)
Node = tuple[int, int, bytes]


def parent_of(left: bytes, right: bytes) -> bytes:
    """Return the hash of an interior node."""
    begun = _begin_parent()
    begun.update(left + right)
    return begun.digest()


def _parents_of(row: bytes) -> bytes:
    """Return the row of nodes above a row, as parent_of makes each, without a call for it."""
    parents: list[bytes] = []
    begin, add = _begin_parent, parents.append
    for left in range(0, len(row), 2 * HASH_BYTES):
        begun = begin()
        begun.update(row[left : left + 2 * HASH_BYTES])
        add(begun.digest())
    return b"".join(parents)


def _rows_above(row: bytes) -> list[bytes]:
    """Return the rows of nodes above a row of 2**n, the root last."""
    rows: list[bytes] = []
    if native is None:
        while len(row) > HASH_BYTES:
            row = _parents_of(row)
            rows.append(row)
        return rows
    nodes, start, size = native.nodes(row), 0, len(row) // 2
    while size >= HASH_BYTES:
        rows.append(nodes[start : start + size])
        start, size = start + size, size // 2
    return rows


def _each(row: bytes) -> Iterator[bytes]:
    return (row[start : start + HASH_BYTES] for start in range(0, len(row), HASH_BYTES))


class Frontier:
    """The right edge of a tree: the hashes of its largest complete subtrees, from left to right, one for
    each bit of its size."""

    __slots__ = ("peaks", "size")

    def __init__(self, size: int = 0, peaks: Iterable[bytes] = ()) -> None:
        self.size = size
        self.peaks = list(peaks)

    @classmethod
    def of(cls, nodes: Nodes, size: int) -> Frontier:
        """Return the frontier of a tree of this size."""
        return cls(size, (nodes(level, index) for level, index in _peaks(size)))

    def extended(self, leaves: bytes, kept_from: int) -> tuple[Frontier, list[Node]]:
        """Return the frontier after more leaves, and the completed nodes of level `kept_from` and above."""
        size, peaks, completed = self.size, self.peaks.copy(), list[Node]()
        start, count = 0, len(leaves) // HASH_BYTES
        while start < count:
            # The largest complete subtree that begins here is limited by the remaining leaves
            # and by the tree's edge.
            level = min((count - start).bit_length() - 1, (size & -size).bit_length() - 1 if size else 64)
            node = leaves[start * HASH_BYTES : (start + (1 << level)) * HASH_BYTES]
            for above, row in enumerate(_rows_above(node), 1):
                if above >= kept_from:
                    completed += [
                        (above, place, each) for place, each in enumerate(_each(row), size >> above)
                    ]
                node = row
            start, rest = start + (1 << level), size >> level
            size += 1 << level
            while rest & 1:
                node = parent_of(peaks.pop(), node)
                level += 1
                rest >>= 1
                if level >= kept_from:
                    completed.append((level, rest, node))
            peaks.append(node)
        return Frontier(size, peaks), completed

    def root(self) -> bytes:
        """Return the tree's root."""
        if not self.peaks:
            return EMPTY_ROOT
        root = self.peaks[-1]
        for peak in reversed(self.peaks[:-1]):
            root = parent_of(peak, root)
        return root


def _peaks(size: int) -> list[tuple[int, int]]:
    """Return level and index of a tree's largest complete subtrees, from left to right."""
    levels = [level for level in range(size.bit_length() - 1, -1, -1) if size >> level & 1]
    return [(level, (size >> level) - 1) for level in levels]


def subtree_of(leaves: Sequence[bytes]) -> bytes:
    """Return the root over the given leaves."""
    return Frontier().extended(b"".join(leaves), 64)[0].root()


def root_of(nodes: Nodes, size: int) -> bytes:
    """Return the root of the first `size` leaves."""
    return Frontier.of(nodes, size).root()


def inclusion_path(nodes: Nodes, index: int, size: int) -> list[bytes]:
    """Return the audit path of a leaf (RFC 6962, 2.1.1). Raises ValueError for a leaf outside the tree."""
    if not 0 <= index < size:
        raise ValueError(f"leaf {index} is not in a tree of size {size}")
    path: list[bytes] = []
    first, last = 0, size
    while last - first > 1:
        middle = first + _split(last - first)
        if index < middle:
            path.append(_over(nodes, middle, last))
            last = middle
        else:
            path.append(_over(nodes, first, middle))
            first = middle
    path.reverse()
    return path


def consistency_path(nodes: Nodes, old: int, new: int) -> list[bytes]:
    """Return the proof that the tree of `old` leaves is a prefix of the tree of `new`
    leaves (RFC 6962, 2.1.2).

    It is empty where there is nothing to prove: old is 0, or equal to new. Raises ValueError unless
    0 <= old <= new.
    """
    if not 0 <= old <= new:
        raise ValueError(f"a tree of size {old} is not a prefix of one of size {new}")
    if old in (0, new):
        return []
    path: list[bytes] = []
    first, last = 0, new
    # Descend to the subtree that ends where the old tree ends; the verifier knows its hash only if it
    # is the whole old tree.
    while last != old:
        middle = first + _split(last - first)
        if old <= middle:
            path.append(_over(nodes, middle, last))
            last = middle
        else:
            path.append(_over(nodes, first, middle))
            first = middle
    if first:
        path.append(_over(nodes, first, last))
    path.reverse()
    return path


def _split(count: int) -> int:
    """Return the largest power of two below a number of leaves."""
    return 1 << (count - 1).bit_length() - 1


def _over(nodes: Nodes, first: int, last: int) -> bytes:
    """Return the hash over leaves `first` to `last` - 1 of a subtree reached by splitting."""
    hashes: list[bytes] = []
    while first < last:
        # `first` is a multiple of the split before, so each step takes a complete subtree.
        level = (last - first).bit_length() - 1
        hashes.append(nodes(level, first >> level))
        first += 1 << level
    root = hashes.pop()
    while hashes:
        root = parent_of(hashes.pop(), root)
    return root
