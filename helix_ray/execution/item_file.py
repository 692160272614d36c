"""The items that a generator yields: a file beside the attempt's log, which is read while it is written.

    TASK.N.items     for each item the length of its pickle (u64, little-endian), then the pickle

Nothing is removed from its beginning, so a reader that comes late, or twice, reads all of it. The end of a
file whose writer was killed may have a part of an item, which no reader is given.
"""

from __future__ import annotations

import os
import struct
from pathlib import Path

from helix_ray.execution.log import log_path
from helix_ray.execution.prefixed import cut

ITEMS_BYTES_MAX = 1024 * 1024 * 1024
"""What one attempt may yield, in bytes of pickles."""

FREE_BYTES_MIN = 128 * 1024 * 1024
"""What items leave free on the node's disk, in bytes: more than the journal reserves by default
(HELIX_DISK_RESERVE_BYTES), since it may be on the same disk."""

LOOK_EVERY_BYTES = 4 * 1024 * 1024
"""How much is written before the free space is looked at again, in bytes."""

HEADER = struct.Struct("<Q")
SUFFIX = ".items"


class ItemsFull(Exception):
    """The items of an attempt have no room; the message says which limit they are over."""


class BadItems(ValueError):
    """The bytes are not those of an item file."""


def items_path(log_dir: str, task_id: str, attempt: int) -> Path:
    """Return the file of an attempt's items; raises ValueError for an id that is not a plain file name."""
    return log_path(log_dir, task_id, attempt).with_suffix(SUFFIX)


class ItemWriter:
    """Writes items one by one; each can be read when `write` returns. The first item creates the file."""

    def __init__(self, path: Path, bytes_max: int = ITEMS_BYTES_MAX) -> None:
        self._path = path
        self._bytes_max = bytes_max
        self._descriptor = -1
        self._look_at = 0
        self.items = 0
        self.written_bytes = 0

    def write(self, pickled: bytes) -> None:
        """Append an item; raises ItemsFull beyond the limit, OSError where the disk takes no more."""
        size = HEADER.size + len(pickled)
        if self.written_bytes + size > self._bytes_max:
            raise ItemsFull(
                f"item {self.items}: {self.written_bytes + size} bytes were yielded; the limit is "
                f"{self._bytes_max} (HELIX_YIELD_BYTES_MAX). Yield less, or write large items to a file"
            )
        if self._descriptor < 0:
            self._descriptor = self._create()
        if self.written_bytes + size > self._look_at:
            self._look(size)
        parts = [memoryview(HEADER.pack(len(pickled))), memoryview(pickled)]
        while parts:
            parts = _rest(parts, os.writev(self._descriptor, parts))
        self.items += 1
        self.written_bytes += size

    def close(self) -> None:
        """Close the file; safe to call twice."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def _look(self, size: int) -> None:
        disk = os.fstatvfs(self._descriptor)
        free = disk.f_bavail * disk.f_frsize
        if free - size < FREE_BYTES_MIN:
            raise ItemsFull(
                f"item {self.items}: the node's disk has {free} bytes left, and {FREE_BYTES_MIN} must "
                "stay free"
            )
        self._look_at = self.written_bytes + size + LOOK_EVERY_BYTES

    def _create(self) -> int:
        self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        return os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)


def _rest(parts: list[memoryview], written: int) -> list[memoryview]:
    """Return what is left of the parts after so many bytes of them."""
    left = []
    for part in parts:
        if written < len(part):
            left.append(part[written:])
        written = max(0, written - len(part))
    return left


class ItemReader:
    """Cuts the bytes of an item file, read in pieces of any size, into pickles."""

    def __init__(self) -> None:
        self._buffer = bytearray()

    def feed(self, data: bytes) -> list[bytes]:
        """Take bytes and return the items that are complete; raises BadItems for a length that cannot be."""
        self._buffer += data
        return cut(self._buffer, HEADER, _check)


def _check(length: int) -> None:
    if length >> 53:
        raise BadItems(f"an item has {length} bytes")


def read_bytes(path: Path, offset: int, limit_bytes: int) -> tuple[bytes, bool]:
    """Return what the file has from `offset` on, and whether that is all of it; nothing of a missing file."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return b"", True
    try:
        data = os.pread(descriptor, limit_bytes, offset)
        return data, offset + len(data) >= os.fstat(descriptor).st_size
    finally:
        os.close(descriptor)
