"""Bodies that stand behind their lengths, cut out of bytes that come in pieces of any size."""

from __future__ import annotations

import struct
from collections.abc import Callable


def cut(buffer: bytearray, header: struct.Struct, check: Callable[[int], None]) -> list[bytes]:
    """Remove the complete bodies from the beginning of a buffer, and return them.

    `header` holds a length; `check` raises for one that cannot be, and the buffer stays as it is.
    """
    bodies: list[bytes] = []
    start = 0
    while len(buffer) - start >= header.size:
        (length,) = header.unpack_from(buffer, start)
        check(length)
        end = start + header.size + length
        if end > len(buffer):
            break
        with memoryview(buffer) as view:
            bodies.append(bytes(view[start + header.size : end]))
        start = end
    if start:
        del buffer[:start]
    return bodies
