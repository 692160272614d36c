"""The hashes of many facts in one call of C, where _hashing.c was built; else `native` is None (ADR 107)."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import Any, Protocol, cast

from helix_ray.journal.rows import Row, ShortRow

HASH_BYTES = 32


class Native(Protocol):
    """The functions of _hashing.c, which says more of them."""

    def leaves(
        self,
        rows: list[Row | ShortRow],
        orders: list[tuple[bytes, int]],
        kinds: dict[int, bytes],
        dumps: Callable[[Any], bytes],
        /,
    ) -> bytes:
        """Return what leaves.one_by_one does."""
        ...

    def nodes(self, row: bytes, /) -> bytes:
        """Return all nodes over a row of 2**n nodes, the level above it first, the root last."""
        ...


def _built() -> Native | None:
    try:
        return cast("Native", import_module("helix_ray.journal._hashing"))
    except ImportError:
        return None


native = _built()
