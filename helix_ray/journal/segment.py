"""A segment: a file of old facts in compressed blocks, which can be verified against the
tree without the journal.

    block...   zlib of one JSON list of columns and of the bodies, a line each; then the salts, random and
               uncompressed (32 bytes of digest for an erased fact)
    index      JSON: first and last seq, the root over these facts, the side tables for the integers in the
               columns, the offsets of blocks
    end        length of the index (8 bytes) and a mark

Its facts are those under one node of the tree (a whole number of tiles), so its root is that node's hash:
with the path from there to a signed root, a segment is verified without any other. A segment is never
changed: an erasure writes a new one.
"""

from __future__ import annotations

import os
import struct
import zlib
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import orjson

from helix_ray.journal.errors import JournalDamaged
from helix_ray.journal.interned import Author, Kind, Words
from helix_ray.journal.rows import SALT_BYTES, ReadRow

BLOCK_FACTS = 1024
DIGEST_BYTES = 32
ZLIB_LEVEL = 6
_END = struct.Struct("<Q8s")
_MARK = b"HELIXSEG"


class Block(NamedTuple):
    """The position of a block: its first seq, its offset in the file, and the sizes of its two parts."""

    first: int
    offset: int
    packed_bytes: int
    salt_bytes: int


class SegmentWriter:
    """Writes one segment; the caller renames the file when `finish` has returned."""

    def __init__(self, path: Path, words: Words) -> None:
        self._file = os.fdopen(
            os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600), "wb"
        )
        self._words = words
        self._blocks: list[Block] = []
        self._kinds: dict[int, Kind] = {}
        self._authors: dict[int, Author] = {}
        self._last = 0

    def add(self, rows: Sequence[ReadRow]) -> None:
        """Add the next block; its first row must not omit values."""
        _, kinds, subjects, contents, ats, authors, requests, digests = zip(*rows, strict=True)
        self._kinds.update((number, self._words.kind(number)) for number in set(kinds))
        self._authors.update((n, self._words.author(n)) for n in set(authors) if n is not None)
        # One line for each body: JSON without spaces contains no line breaks.
        bodies = b"\n".join(b"" if content is None else content[SALT_BYTES:] for content in contents)
        packed = zlib.compress(
            orjson.dumps((kinds, subjects, ats, authors, requests)) + b"\n" + bodies, ZLIB_LEVEL
        )
        salts = b"".join(
            digest if content is None else content[:SALT_BYTES]
            for content, digest in zip(contents, digests, strict=True)
        )
        self._blocks.append(Block(rows[0][0], self._file.tell(), len(packed), len(salts)))
        self._file.write(packed + salts)
        self._last = rows[-1][0]

    def finish(self, root: bytes) -> int:
        """Write the index, make the file durable and close it; return its size."""
        index = orjson.dumps({
            "format": 2,
            "first": self._blocks[0].first,
            "last": self._last,
            "root": root.hex(),
            "kinds": [(number, *kind) for number, kind in self._kinds.items()],
            "authors": [(number, *author) for number, author in self._authors.items()],
            "blocks": [tuple(block) for block in self._blocks],
        })  # fmt: skip
        self._file.write(index + _END.pack(len(index), _MARK))
        self._file.flush()
        os.fsync(self._file.fileno())
        size = self._file.tell()
        self._file.close()
        return size

    def abandon(self) -> None:
        """Close an unfinished file."""
        self._file.close()


class Segment:
    """Reads one segment, and resolves the integers in its rows. Raises JournalDamaged for an invalid file."""

    def __init__(self, path: Path) -> None:
        self._path = path
        try:
            with path.open("rb") as file:
                size = file.seek(0, os.SEEK_END)
                file.seek(max(0, size - _END.size))
                index_bytes, mark = _END.unpack(file.read())
                if mark != _MARK or index_bytes > size:
                    raise ValueError("no end mark")
                file.seek(size - _END.size - index_bytes)
                self._index: dict[str, Any] = orjson.loads(file.read(index_bytes))
            self._kinds = {number: Kind(*kind) for number, *kind in self._index["kinds"]}
            self._authors = {number: Author(*author) for number, *author in self._index["authors"]}
            self._blocks = [Block(*block) for block in self._index["blocks"]]
            self.first, self.last = int(self._index["first"]), int(self._index["last"])
            self.root = bytes.fromhex(self._index["root"])
        except FileNotFoundError:
            raise JournalDamaged(f"{path} is missing: it contained facts of the journal") from None
        except (ValueError, KeyError, TypeError, struct.error) as error:
            raise JournalDamaged(f"{path} was changed after it was written ({error})") from error
        self._unpacked: tuple[int, list[ReadRow]] = (-1, [])

    def kind(self, number: int) -> Kind:
        """Return a kind; raises KeyError."""
        return self._kinds[number]

    def author(self, number: int) -> Author:
        """Return an author; raises KeyError."""
        return self._authors[number]

    def rows_from(self, seq: int) -> list[ReadRow]:
        """Return the rows of the block with fact `seq`; the first row omits no values."""
        place = (seq - self.first) // BLOCK_FACTS
        if self._unpacked[0] != place:
            try:
                self._unpacked = (place, self._unpack(self._blocks[place]))
            except (ValueError, IndexError, TypeError, zlib.error) as error:
                raise JournalDamaged(
                    f"{self._path} was changed after it was written: fact {seq} cannot be read ({error})"
                ) from error
        return self._unpacked[1]

    def _unpack(self, block: Block) -> list[ReadRow]:
        with self._path.open("rb") as file:
            file.seek(block.offset)
            packed, salts = file.read(block.packed_bytes), file.read(block.salt_bytes)
        columns, _, bodies = zlib.decompress(packed).partition(b"\n")
        contents = _contents(bodies.split(b"\n"), salts)
        kinds, subjects, ats, authors, requests = orjson.loads(columns)
        rows = zip(kinds, subjects, contents, ats, authors, requests, strict=True)
        return [
            (seq, kind, subject, content, at, author, request, digest)
            for seq, (kind, subject, (content, digest), at, author, request) in enumerate(rows, block.first)
        ]


def _contents(bodies: Iterable[bytes], salts: bytes) -> list[tuple[bytes | None, bytes | None]]:
    """Return salt and body, or the digest, of each fact."""
    found: list[tuple[bytes | None, bytes | None]] = []
    place = 0
    for body in bodies:
        if body:
            found.append((salts[place : place + SALT_BYTES] + body, None))
            place += SALT_BYTES
        else:
            found.append((None, salts[place : place + DIGEST_BYTES]))
            place += DIGEST_BYTES
    if place != len(salts):
        raise ValueError("the salts do not match")
    return found
