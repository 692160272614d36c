"""A blob that is being written: a file of its own, locked by its writer, until its digest is known.

The lock ends with the process, so a file that nobody locks was left by a kill and can be removed. A file that
has no name any more after it was locked was removed in between as such a one, and is made again.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import threading
from collections.abc import Callable, Iterator
from hashlib import sha256
from pathlib import Path
from secrets import token_hex
from typing import NamedTuple

from helix_ray.blobs.errors import StoreFull, UploadLost

FOLDER = ".incoming"
# Errors of a write that mean that there is no room.
NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


class Written(NamedTuple):
    """A blob that is in its store: its digest (hex), and its bytes."""

    digest: str
    bytes: int


# Puts a finished file in its place: (its path, its digest and bytes).
Place = Callable[[Path, Written], None]
# Raises StoreFull where there is no room for so many more bytes.
Room = Callable[[int], None]


class Incoming:
    """One blob on its way in. Its file is made by the first write, so one that was only begun leaves nothing.

    Another thread may abandon it: a write that is under way ends first.
    """

    def __init__(self, folder: Path, place: Place, room: Room) -> None:
        """`folder` is the store's folder for incoming files."""
        self._folder = folder
        self._place = place
        self._room = room
        self._hash = sha256()
        self._bytes = 0
        self._file: tuple[Path, int] | None = None
        self._ended = False
        self._lock = threading.RLock()

    @property
    def size(self) -> int:
        """How many bytes were written."""
        return self._bytes

    def write(self, data: bytes | memoryview) -> None:
        """Append bytes. Raises StoreFull where there is no room, OSError, and UploadLost where it was
        abandoned; it is abandoned then."""
        with self._lock, self._or_abandoned():
            handle = self._opened()[1]
            self._room(len(data))
            left = memoryview(data)
            while left:
                left = left[os.write(handle, left) :]
            self._hash.update(data)
            self._bytes += len(data)

    def finish(self, digest: str | None = None) -> Written:
        """Make the bytes durable and give them their name; a blob that is there already stays.

        Raises ValueError where they do not have the `digest` that is expected, and what `write` raises; it is
        abandoned then.
        """
        with self._lock, self._or_abandoned():
            written = Written(self._hash.hexdigest(), self._bytes)
            if digest is not None and written.digest != digest:
                raise ValueError(f"the bytes have the digest {written.digest}, but must have {digest}")
            path, handle = self._opened()
            os.fsync(handle)
            os.fchmod(handle, 0o400)
            self._place(path, written)
            self.abandon()
            return written

    def abandon(self) -> None:
        """Remove what was written, unless it has got its name; safe to call twice."""
        with self._lock:
            self._ended = True
            if self._file is not None:
                path, handle = self._file
                self._file = None
                path.unlink(missing_ok=True)
                os.close(handle)

    def _opened(self) -> tuple[Path, int]:
        if self._ended:
            raise UploadLost("the upload was given up: begin again")
        if self._file is None:
            self._file = _made(self._folder)
        return self._file

    @contextlib.contextmanager
    def _or_abandoned(self) -> Iterator[None]:
        """Abandon it where something is raised; a disk without room is StoreFull."""
        try:
            yield
        except OSError as error:
            self.abandon()
            if error.errno not in NO_ROOM:
                raise
            raise StoreFull(f"there is no room for the file: {os.strerror(error.errno)}") from error
        except BaseException:
            self.abandon()
            raise


def remove_left(folder: Path) -> int:
    """Remove the incoming files that no process writes any more; return how many."""
    removed = 0
    for path in folder.iterdir() if folder.is_dir() else ():
        with contextlib.suppress(FileNotFoundError, BlockingIOError):
            handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                path.unlink()
                removed += 1
            finally:
                os.close(handle)
    return removed


def _made(folder: Path) -> tuple[Path, int]:
    """Return an empty file with its handle, which is locked."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    while True:
        path = folder / token_hex(16)
        handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        fcntl.flock(handle, fcntl.LOCK_EX)
        if os.fstat(handle).st_nlink:
            return path, handle
        os.close(handle)
