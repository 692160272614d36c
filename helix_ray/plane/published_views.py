"""Views of tasks in memory that the master writes and the API replicas of its host read, so that the first read
after somebody else's write needs no call of the master either.

    bytes 0 ... 15     the master's life, a random number that its board says as well (read_board.py), and its
                       generation: under any other, nothing of this is current
    bytes 64 ...       slots of SLOT_BYTES; a task's slot is a hash of its id

    a slot             seq that the view is as of (8 bytes), length (4), checksum (4), the view as JSON

A slot has the task that was written to it last, so what is found may be another task's, older than the task, or half
written. The writer takes the seq away, writes the view, and writes seq, length and checksum. The reader copies
all of it, and uses the copy only if seq, length and checksum were the same afterwards and the checksum is that of
the copy. On processors that keep the order of writes (x86) the comparison alone proves that the copy is whole; on
others (ARM) the checksum does. Whether a whole view is current is the board's to say.

The memory has no name on any disk: what it holds is gone with the processes that map it.
"""

from __future__ import annotations

import mmap
import os
import struct
from typing import Any, NamedTuple, Protocol
from zlib import crc32

import orjson

SLOTS = 1 << 12
SLOT_BYTES = 2048
FIRST_SLOT_BYTE = 64
SIZE_BYTES = FIRST_SLOT_BYTE + SLOTS * SLOT_BYTES

_MASTER = struct.Struct("<QQ")
_HEADER = struct.Struct("<QII")
_NOBODYS = bytes(_HEADER.size)
# Larger views are asked for.
VIEW_BYTES_MAX = SLOT_BYTES - _HEADER.size


class Published(NamedTuple):
    """A view, and the journal's seq that it is as of."""

    view: dict[str, Any]
    seq: int


def slot_of(task_id: str) -> int:
    """Return where the slot of a task begins."""
    return FIRST_SLOT_BYTE + (crc32(task_id.encode()) & (SLOTS - 1)) * SLOT_BYTES


def _checksum(seq: int, text: bytes) -> int:
    return crc32(text, seq & 0xFFFFFFFF)


class Memory(Protocol):
    """Bytes that another process may write while they are read."""

    def __getitem__(self, part: slice, /) -> bytes:
        """Return a copy."""
        ...

    def __setitem__(self, part: slice, value: bytes, /) -> None:
        """Write over as many bytes."""
        ...


def write(memory: Memory, start: int, seq: int, text: bytes) -> None:
    """Write a slot, so that whoever reads meanwhile finds nothing, or what is whole."""
    body = start + _HEADER.size
    memory[start:body] = _NOBODYS
    memory[body : body + len(text)] = text
    memory[start:body] = _HEADER.pack(seq, len(text), _checksum(seq, text))


def read(memory: Memory, start: int) -> tuple[int, bytes] | None:
    """Return what was written last to a slot, with its seq; None where that is being written, or was never."""
    body = start + _HEADER.size
    header = memory[start:body]
    seq, length, checksum = _HEADER.unpack(header)
    if seq == 0 or length > VIEW_BYTES_MAX:
        return None
    text = memory[body : body + length]
    whole = memory[start:body] == header and _checksum(seq, text) == checksum
    return (seq, text) if whole else None


class ViewsWriter:
    """The master's side; raises OSError where there is no such memory."""

    def __init__(self, life: int, generation: int) -> None:
        self.descriptor = os.memfd_create("helix-views", os.MFD_CLOEXEC)
        try:
            os.ftruncate(self.descriptor, SIZE_BYTES)
            self._memory = mmap.mmap(self.descriptor, SIZE_BYTES)
        except BaseException:
            os.close(self.descriptor)
            raise
        self._memory[: _MASTER.size] = _MASTER.pack(life, generation)

    def publish(self, view: dict[str, Any], seq: int) -> None:
        """Write a view that is as of `seq`, in place of what its slot had; leave out one that is too large
        or has no JSON form."""
        try:
            text = orjson.dumps(view)
        except TypeError:
            return
        if len(text) <= VIEW_BYTES_MAX:
            write(self._memory, slot_of(view["id"]), seq, text)

    def close(self) -> None:
        """Let go of the memory; safe to call twice."""
        if not self._memory.closed:
            self._memory.close()
            os.close(self.descriptor)


class ViewsReader:
    """A replica's side; raises OSError or ValueError where there is no such memory, or it is of another life."""

    def __init__(self, process: int, descriptor: int, life: int) -> None:
        handle = os.open(f"/proc/{process}/fd/{descriptor}", os.O_RDONLY | os.O_CLOEXEC)
        try:
            self._memory = mmap.mmap(handle, SIZE_BYTES, access=mmap.ACCESS_READ)
        finally:
            os.close(handle)
        found, self.generation = _MASTER.unpack(self._memory[: _MASTER.size])
        if found != life:
            # Another process has the number by now, or it is one of another namespace of processes.
            self._memory.close()
            raise ValueError("the views are of another master")

    def find(self, task_id: str) -> Published | None:
        """Return the view of a task, if it was written last to its slot and is whole."""
        found = read(self._memory, slot_of(task_id))
        if found is None:
            return None
        seq, text = found
        view = orjson.loads(text)
        return Published(view, seq) if view["id"] == task_id else None

    def close(self) -> None:
        """Let go of the memory; safe to call twice."""
        self._memory.close()
