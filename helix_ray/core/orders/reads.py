"""Orders about reads of sensitive data."""

from __future__ import annotations

from dataclasses import dataclass

from helix_ray.core.access import SYSTEM_ONLY
from helix_ray.core.orders.kind import NoData, OrderKind
from helix_ray.core.read_classes import ReadClass


@dataclass(frozen=True, slots=True)
class NoteReads(OrderKind[NoData]):
    """Record what one reader has read; the order's origin is the reader's.

    The fields are those of the fact, DataRead; `reader` is its author.
    """

    allowed = SYSTEM_ONLY
    needs_key = False  # an additional count is harmless

    reader: str
    read: ReadClass
    count: int = 1
    ids: tuple[str, ...] = ()
    asked: str = ""
    gap: bool = False
