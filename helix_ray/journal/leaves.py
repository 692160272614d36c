"""Computes the leaves of facts that are about to be written (journal/proofs.py defines a leaf)."""

from __future__ import annotations

from collections.abc import Callable
from hashlib import sha256
from typing import Any

import orjson

from helix_ray.journal.hashing import native
from helix_ray.journal.rows import Encoded, Row, ShortRow, header_of_order

_LEAF = b"\x00"


def leaves_of(encoded: Encoded) -> bytes:
    """Return the leaves of rows, in order, 32 bytes each."""
    rows, orders, kinds = encoded
    ends = [start for start, *_ in orders[1:]]
    ends.append(len(rows))
    begins = [(_LEAF + header_of_order(*order[1:]), end) for order, end in zip(orders, ends, strict=True)]
    return (one_by_one if native is None else native.leaves)(rows, begins, kinds, orjson.dumps)


def one_by_one(
    rows: list[Row | ShortRow],
    orders: list[tuple[bytes, int]],
    kinds: dict[int, bytes],
    dumps: Callable[[Any], bytes],
) -> bytes:
    """Return the leaves of rows: `orders` has for each order what its leaves begin with, and the place behind
    its last row."""
    leaves: list[bytes] = []
    hashed, add, start = sha256, leaves.append, 0
    for begin, end in orders:
        # The hash of what all facts of an order have in common is continued, not computed again.
        begun, last = hashed(begin), rows[end - 1]
        for row in rows[start:end]:
            leaf = begun.copy() if row is not last else begun
            leaf.update(dumps((row[0], row[2])) + kinds[row[1]] + hashed(row[3]).digest())
            add(leaf.digest())
        start = end
    return b"".join(leaves)
