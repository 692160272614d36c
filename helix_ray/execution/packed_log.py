"""Keeps the beginning and the end of a log within a limit, compressed in blocks that are read at an offset.

    TASK.N.log      what was written, each byte at its own offset; packed and removed parts are holes
    TASK.N.packed   records in the order of their offsets: a block, or that these bytes were removed

Whoever writes the log knows nothing of this: a running attempt may write descriptors of its own. Packing
appends a record, then makes the hole, so a reader finds every byte in one of the two. A log of one block or
less is never packed. Where the file system makes no holes, the log takes its whole size.
"""

from __future__ import annotations

import contextlib
import ctypes
import fcntl
import os
import struct
import zlib
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

BLOCK_BYTES = 256 * 1024
LINE_BYTES_MAX = 1024
"""How far from the limit a line may end for what is kept to begin and end with whole lines, in bytes."""

_STEPS = 16  # a running log is larger than its limit by one of these at most, beside the last block
_LEVEL = 1  # of zlib: text shrinks to a tenth, at more than 100 MB/s
_HEADER = struct.Struct("<QQI")  # offset, length, bytes that follow; 0: removed
_KEEP_SIZE_AND_PUNCH = 1 | 2  # <linux/falloc.h>

_libc = ctypes.CDLL(None, use_errno=True)


@dataclass(frozen=True, slots=True)
class Found:
    """What is there from `start` on, the first offset that was kept.

    `more`: more follows; `broken`: what follows was removed. `cut_bytes` counts all that was removed.
    """

    start: int
    data: bytes
    more: bool
    broken: bool
    cut_bytes: int


@dataclass(frozen=True, slots=True)
class _Record:
    offset: int
    length: int
    at: int
    stored: int

    @property
    def end(self) -> int:
        return self.offset + self.length


def packed_path(path: Path) -> Path:
    """Return the file beside a log that has its packed blocks."""
    return path.with_suffix(".packed")


def remove_log(path: Path) -> None:
    """Delete a log; safe to call twice."""
    path.unlink(missing_ok=True)
    packed_path(path).unlink(missing_ok=True)


def disk_bytes(path: Path) -> int:
    """Return what a log takes on the disk."""
    used = 0
    for file in (path, packed_path(path)):
        with contextlib.suppress(FileNotFoundError):
            used += file.stat().st_blocks * 512
    return used


# ---------------------------------------------------------------------------------------------- reading


def read(path: Path, offset: int, limit_bytes: int) -> Found:
    """Return what was written from `offset` on, up to the next removed part; raises FileNotFoundError."""
    with path.open("rb") as log:
        while True:
            packed = _open_packed(path)
            try:
                size = os.fstat(packed).st_size if packed >= 0 else 0
                found = _read(log.fileno(), packed, offset, limit_bytes)
                after = os.fstat(packed).st_size if packed >= 0 else 0
            finally:
                if packed >= 0:
                    os.close(packed)
            # What is packed meanwhile is a hole in the log by now.
            if size == after and (packed >= 0 or not packed_path(path).exists()):
                return found


def _read(log: int, packed: int, offset: int, limit_bytes: int) -> Found:
    records = list(_records(packed)) if packed >= 0 else []
    cut_bytes = sum(record.length for record in records if not record.stored)
    size = os.fstat(log).st_size
    start, data = offset, b""
    for record in records:
        at = start + len(data)
        if record.end <= at:
            continue
        if not record.stored:
            if data:
                return Found(start, data[:limit_bytes], True, len(data) <= limit_bytes, cut_bytes)
            start = record.end
        elif len(data) < limit_bytes:
            data += zlib.decompress(os.pread(packed, record.stored, record.at))[at - record.offset :]
    data = data[:limit_bytes]
    if len(data) < limit_bytes:
        data += os.pread(log, limit_bytes - len(data), start + len(data))
    return Found(start, data, start + len(data) < size, False, cut_bytes)


def _open_packed(path: Path) -> int:
    try:
        return os.open(packed_path(path), os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return -1


def _records(packed: int) -> Iterator[_Record]:
    """Yield the whole records; a killed packer may leave a part of one at the end."""
    size, at = os.fstat(packed).st_size, 0
    while at + _HEADER.size <= size:
        offset, length, stored = _HEADER.unpack(os.pread(packed, _HEADER.size, at))
        record = _Record(offset, length, at + _HEADER.size, stored)
        at = record.at + stored
        if at <= size:
            yield record


# ---------------------------------------------------------------------------------------------- packing


def pack(path: Path, bytes_max: int, *, over: bool) -> None:
    """Pack what a log's beginning has, and remove what is beyond `bytes_max` between beginning and end.

    `over`: nothing is written any more, so that the end is packed too. Safe to call at any time, from several
    processes; raises OSError.
    """
    if path.stat().st_size <= BLOCK_BYTES and not packed_path(path).exists():
        return
    log = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    try:
        packed = os.open(packed_path(path), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(packed, fcntl.LOCK_EX)
            _Packer(log, packed, bytes_max).pack(over=over)
        finally:
            os.close(packed)
    finally:
        os.close(log)


class _Packer:
    def __init__(self, log: int, packed: int, bytes_max: int) -> None:
        self._log, self._packed = log, packed
        self._bytes_max = bytes_max
        self._size = os.fstat(log).st_size
        last = next(iter(deque(_records(packed), maxlen=1)), None)
        self._through = last.end if last is not None else 0
        # Behind the last whole record: a part of one is overwritten.
        self._at = last.at + last.stored if last is not None else 0
        os.ftruncate(packed, self._at)

    def pack(self, *, over: bool) -> None:
        half = self._bytes_max // 2
        head = half - LINE_BYTES_MAX
        while self._through < head and self._block(half, over=over and self._size <= self._bytes_max):
            pass
        keep_from = self._size - half
        step = 0 if over else max(BLOCK_BYTES, self._bytes_max // _STEPS)
        if self._size > self._bytes_max and self._through >= head and keep_from > self._through + step:
            self._remove(_line_start(self._log, keep_from))
        while over and self._block(self._size, over=True):
            pass

    def _block(self, limit: int, *, over: bool) -> bool:
        """Pack a block that ends at `limit` at the latest; False where there is not enough for one."""
        end = min(self._through + BLOCK_BYTES, limit)
        if end > self._size and over:
            end = self._size
        if end > self._size or end <= self._through:
            return False
        data = os.pread(self._log, end - self._through, self._through)
        if end == limit < self._size:
            data = _whole_lines(data)
        self._append(len(data), zlib.compress(data, _LEVEL))
        return True

    def _remove(self, until: int) -> None:
        self._append(until - self._through, b"")

    def _append(self, length: int, stored: bytes) -> None:
        record = _HEADER.pack(self._through, length, len(stored)) + stored
        view = memoryview(record)
        while view:
            written = os.pwrite(self._packed, view, self._at)
            self._at += written
            view = view[written:]
        _libc.fallocate(
            self._log, _KEEP_SIZE_AND_PUNCH, ctypes.c_longlong(self._through), ctypes.c_longlong(length)
        )
        self._through += length


def _whole_lines(data: bytes) -> bytes:
    """Return the data up to the end of its last line, if that is near."""
    end = data.rfind(b"\n", max(0, len(data) - LINE_BYTES_MAX)) + 1
    return data[:end] if end else data


def _line_start(log: int, offset: int) -> int:
    """Return where the next line starts, if that is near, otherwise the next character."""
    data = os.pread(log, LINE_BYTES_MAX, offset)
    newline = data.find(b"\n")
    if 0 <= newline < len(data) - 1:
        return offset + newline + 1
    inside = 0
    while inside < min(3, len(data) - 1) and data[inside] & 0xC0 == 0x80:
        inside += 1
    return offset + inside
