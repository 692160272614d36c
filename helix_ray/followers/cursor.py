"""A follower's cursor in a file of its own: `cursors/NAME` in the data directory.

The file has two slots, which are written alternately: a kill or a full disk in the middle of a write leaves
the other slot, which is one batch behind. So a damaged cursor repeats facts and skips none. If both slots are
damaged, the file is set aside, and the follower begins like one without a cursor.
"""

from __future__ import annotations

import os
import re
import zlib
from pathlib import Path
from typing import NamedTuple

from helix_ray.derived import set_aside
from helix_ray.private import make_file

FOLDER = "cursors"
NAME = re.compile(r"[a-z][a-z0-9-]{0,62}")
SLOTS = 2
SLOT_BYTES = 64


class _Note(NamedTuple):
    """The content of one slot; `turn` counts the writes."""

    turn: int
    cursor: int

    def written(self) -> bytes:
        text = f"{self.turn} {self.cursor}"
        return f"{text} {zlib.crc32(text.encode()):08x}".encode().ljust(SLOT_BYTES - 1) + b"\n"


class CursorFile:
    """The cursor of one follower; only one process at a time may write it."""

    def __init__(self, data_dir: Path, name: str, begin_at: int) -> None:
        """Read the cursor; it is `begin_at` if none can be read. Raises OSError, and ValueError for an
        invalid name."""
        if NAME.fullmatch(name) is None:
            raise ValueError(f"{name!r} is not a valid name of a follower: use a-z, 0-9 and -")
        self._path = data_dir / FOLDER / name
        self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._slot = self._read() or _Note(0, begin_at)

    @property
    def cursor(self) -> int:
        """The seq after which the next facts are read."""
        return self._slot.cursor

    def save(self, cursor: int) -> None:
        """Write the cursor durably; blocks until it is on disk. Raises OSError."""
        slot = _Note(self._slot.turn + 1, cursor)
        make_file(self._path)
        handle = os.open(self._path, os.O_WRONLY | os.O_CLOEXEC)
        try:
            os.pwrite(handle, slot.written(), slot.turn % SLOTS * SLOT_BYTES)
            os.fdatasync(handle)
        finally:
            os.close(handle)
        self._slot = slot

    def _read(self) -> _Note | None:
        try:
            raw = self._path.read_bytes()
        except FileNotFoundError:
            return None
        slots = [_slot(raw[start : start + SLOT_BYTES]) for start in range(0, SLOTS * SLOT_BYTES, SLOT_BYTES)]
        newest = max((slot for slot in slots if slot is not None), default=None)
        if newest is None and raw:
            set_aside(self._path, "neither of its two slots can be read")
        return newest


def _slot(raw: bytes) -> _Note | None:
    try:
        turn, cursor, checksum = raw.split()
        if int(checksum, 16) != zlib.crc32(turn + b" " + cursor):
            return None
        return _Note(int(turn), int(cursor))
    except ValueError:
        return None
