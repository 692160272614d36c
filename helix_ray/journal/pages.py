"""The stored form of a snapshot's body: long lists are split into pages, so that neither writing nor reading
needs all of it in memory twice.

    mark       8 bytes
    part...    its length (8 bytes) and zlib of lines of JSON: first the body without its long lists, with
               their names, then each of these lists, one page on each line

A million tasks take 700 MB as rows of Python values, and half of that as JSON. Read by pages, they take the
memory of the state and of one page.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Any

from helix_ray.journal.encoding import from_json, to_json

MARK = b"HELIXSN2"
PAGE_ROWS = 1000
# Bytes unpacked at a time, and bytes that they are unpacked from.
CHUNK_BYTES = 256 << 10
PACKED_CHUNK_BYTES = 16 << 10
ZLIB_LEVEL = 1
_LENGTH = struct.Struct("<Q")


class Pages:
    """A long list of a stored body: read again, page by page, each time somebody goes through it."""

    def __init__(self, packed: memoryview) -> None:
        self._packed = packed

    def __iter__(self) -> Iterator[Any]:
        for line in _lines(self._packed):
            yield from from_json(line)


def pack(body: dict[str, Any]) -> bytes:
    """Return a body as it is stored. A value may be an iterator: it is gone through
    once, and stored as a list."""
    long = {name: value for name, value in body.items() if _is_long(value)}
    short = {name: value for name, value in body.items() if name not in long}
    parts = [_packed([to_json([short, list(long)])])]
    parts += [_packed(map(to_json, _pages(rows))) for rows in long.values()]
    return b"".join((MARK, *(piece for part in parts for piece in (_LENGTH.pack(len(part)), part))))


def unpack(packed: bytes) -> dict[str, Any]:
    """Return the body that was packed, its long lists as Pages. Raises ValueError or
    zlib.error for what is none."""
    if not packed.startswith(MARK):
        # Of a release before pages: one JSON text.
        body: dict[str, Any] = from_json(zlib.decompress(packed))
        return body
    first, *rest = _parts(memoryview(packed))
    short, names = from_json(b"".join(_lines(first)))
    return {**short, **dict(zip(names, map(Pages, rest), strict=True))}


def _is_long(value: Any) -> bool:
    return isinstance(value, Iterator) or (isinstance(value, list) and len(value) > PAGE_ROWS)


def _pages(rows: Iterable[Any]) -> Iterator[list[Any]]:
    left = iter(rows)
    while page := list(islice(left, PAGE_ROWS)):
        yield page


def _packed(lines: Iterable[bytes]) -> bytes:
    packer = zlib.compressobj(ZLIB_LEVEL)
    pieces = [packer.compress(line + b"\n") for line in lines]
    return b"".join((*pieces, packer.flush()))


def _parts(packed: memoryview) -> list[memoryview]:
    parts: list[memoryview] = []
    place = len(MARK)
    while place < len(packed):
        (length,) = _LENGTH.unpack_from(packed, place)
        place += _LENGTH.size + length
        parts.append(packed[place - length : place])
    return parts


def _lines(packed: memoryview) -> Iterator[bytes]:
    """Give the lines of a part; JSON that is written without spaces has no line break in it."""
    rest = b""
    for piece in _unpacked(packed):
        *lines, rest = (rest + piece).split(b"\n")
        yield from lines


def _unpacked(packed: memoryview) -> Iterator[bytes]:
    unpacker = zlib.decompressobj()
    for start in range(0, len(packed), PACKED_CHUNK_BYTES):
        left: bytes | memoryview = packed[start : start + PACKED_CHUNK_BYTES]
        while left:
            yield unpacker.decompress(left, CHUNK_BYTES)
            left = unpacker.unconsumed_tail
    yield unpacker.flush()
    if not unpacker.eof:
        raise ValueError("the snapshot is cut short")
