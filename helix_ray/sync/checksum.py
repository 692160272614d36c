"""The checksum of a set of rows: the same in whatever order they are added, and cheap to keep up to date.

It is the sum, modulo 2**48, of the CRC-32 of `kind/key@version` of each row. That fits into the numbers of
JavaScript, and every platform has CRC-32. It finds mistakes, not forgeries: nobody but the device itself
reads what it compares.
"""

from __future__ import annotations

from zlib import crc32

MODULUS = 1 << 48


def part(kind: str, key: str, version: int) -> int:
    """Return what a row adds to the sum."""
    return crc32(f"{kind}/{key}@{version}".encode())


def plus(total: int, added: int) -> int:
    """Return the sum with a part added; a negative one is taken away."""
    return (total + added) % MODULUS


def shown(total: int) -> str:
    """Return the sum as it stands in an answer: 12 hexadecimal digits."""
    return f"{total:012x}"
