"""Views of tasks in shared memory. The master writes them and the API replicas on its host read them, so the
first read after another client's write does not call the master either.

    bytes 0 ... 15     the master's life, a random number that is also on its board (read_board.py), and its
                       generation: under any other generation, none of the views is current
    bytes 64 ...       slots of SLOT_BYTES; a task's slot is a hash of its id

    a slot             seq of the view (8 bytes), length (4), checksum (4), the view as JSON

A slot has the task that was last written to it, so a reader may find another task, an old view, or a
half-written one. The writer clears the seq, writes the view, and then writes seq, length and checksum. The
reader copies the slot, and uses the copy only if seq, length and checksum are unchanged afterwards and the
checksum matches the copy. On processors that keep the order of writes (x86) the comparison alone proves that
the copy is intact; on others (ARM) the checksum does. The board decides whether an intact view is current.

The memory has no name in a file system: it disappears when no process maps it.
"""

from __future__ import annotations

import mmap
import os
import struct
from typing import NamedTuple, Protocol
from zlib import crc32

import orjson

from helix_ray.core.views.tasks import TaskView

SLOTS = 1 << 12
SLOT_BYTES = 2048
FIRST_SLOT_BYTE = 64
SIZE_BYTES = FIRST_SLOT_BYTE + SLOTS * SLOT_BYTES

_MASTER = struct.Struct("<QQ")
_HEADER = struct.Struct("<QII")
_NOBODYS = bytes(_HEADER.size)
# Larger views are not published.
VIEW_BYTES_MAX = SLOT_BYTES - _HEADER.size


class Published(NamedTuple):
    """A view as of a seq of the journal."""

    view: TaskView
    seq: int


def slot_of(task_id: str) -> int:
    """Return the offset of a task's slot."""
    return FIRST_SLOT_BYTE + (crc32(task_id.encode()) & (SLOTS - 1)) * SLOT_BYTES


def _checksum(seq: int, text: bytes) -> int:
    # Not the seq itself as the first value: of an empty text that would be the checksum.
    return crc32(text, crc32(seq.to_bytes(8, "little")))


class Memory(Protocol):
    """Memory that another process may write during a read."""

    def __getitem__(self, part: slice, /) -> bytes:
        """Return a copy."""
        ...

    def __setitem__(self, part: slice, value: bytes, /) -> None:
        """Overwrite bytes."""
        ...


def write(memory: Memory, start: int, seq: int, text: bytes) -> None:
    """Write a slot; a concurrent reader finds nothing or an intact view."""
    body = start + _HEADER.size
    memory[start:body] = _NOBODYS
    memory[body : body + len(text)] = text
    memory[start:body] = _HEADER.pack(seq, len(text), _checksum(seq, text))


def read(memory: Memory, start: int) -> tuple[int, bytes] | None:
    """Return the view in a slot with its seq; None while it is being written, or when it is empty."""
    body = start + _HEADER.size
    header = memory[start:body]
    seq, length, checksum = _HEADER.unpack(header)
    if seq == 0 or length > VIEW_BYTES_MAX:
        return None
    text = memory[body : body + length]
    whole = memory[start:body] == header and _checksum(seq, text) == checksum
    return (seq, text) if whole else None


class ViewsWriter:
    """The master's side; raises OSError if the memory cannot be created."""

    def __init__(self, life: int, generation: int) -> None:
        self.descriptor = os.memfd_create("helix-views", os.MFD_CLOEXEC)
        try:
            os.ftruncate(self.descriptor, SIZE_BYTES)
            self._memory = mmap.mmap(self.descriptor, SIZE_BYTES)
        except BaseException:
            os.close(self.descriptor)
            raise
        self._memory[: _MASTER.size] = _MASTER.pack(life, generation)

    def publish(self, view: TaskView, seq: int) -> None:
        """Write a view as of `seq` to its slot, unless it is too large or has no JSON form."""
        try:
            text = orjson.dumps(view)
        except TypeError:
            return
        if len(text) <= VIEW_BYTES_MAX:
            write(self._memory, slot_of(view["id"]), seq, text)

    def withdraw(self, task_id: str) -> None:
        """Overwrite the view of a task, and what is left of it behind a shorter one of another task."""
        start = slot_of(task_id)
        found = read(self._memory, start)
        others = found is not None and orjson.loads(found[1])["id"] != task_id
        kept = _HEADER.size + len(found[1]) if found is not None and others else 0
        self._memory[start + kept : start + SLOT_BYTES] = bytes(SLOT_BYTES - kept)

    def close(self) -> None:
        """Let go of the memory; safe to call twice."""
        if not self._memory.closed:
            self._memory.close()
            os.close(self.descriptor)


class ViewsReader:
    """A replica's side; raises OSError or ValueError if the memory does not exist or is of another life."""

    def __init__(self, process: int, descriptor: int, life: int) -> None:
        handle = os.open(f"/proc/{process}/fd/{descriptor}", os.O_RDONLY | os.O_CLOEXEC)
        try:
            self._memory = mmap.mmap(handle, SIZE_BYTES, access=mmap.ACCESS_READ)
        finally:
            os.close(handle)
        found, self.generation = _MASTER.unpack(self._memory[: _MASTER.size])
        if found != life:
            # The process id was reused, or belongs to another PID namespace.
            self._memory.close()
            raise ValueError("the views are of another master")

    def find(self, task_id: str) -> Published | None:
        """Return the view of a task if its slot has an intact one."""
        found = read(self._memory, slot_of(task_id))
        if found is None:
            return None
        seq, text = found
        view = orjson.loads(text)
        return Published(view, seq) if view["id"] == task_id else None

    def close(self) -> None:
        """Let go of the memory; safe to call twice."""
        self._memory.close()
