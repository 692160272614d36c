"""A folder of blobs: each file is named by the SHA-256 of its bytes, and never changes.

    <digest>             a blob, which nobody may write (0400)
    .incoming/           blobs that are being written (incoming.py)
    .damaged/<digest>    a blob whose bytes did not have their digest when it was read; the newest few

Several processes may use one folder at a time. A file gets its name when it is whole and durable, so a killed
writer leaves nothing but an incoming file, which the next start removes. Who uses a blob locks its file
(`pin`): the lock is shared, ends with the process, and keeps the blob from being evicted or removed by any of
them. The time of access says when a blob was last used, the time of change when it was last written.
"""

from __future__ import annotations

import contextlib
import fcntl
import logging
import os
import time
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path
from typing import BinaryIO, NamedTuple

from helix_ray.blobs.errors import BlobDamaged, BlobMissing, StoreFull
from helix_ray.blobs.incoming import FOLDER, Incoming, Written, remove_left
from helix_ray.core.digests import is_digest
from helix_ray.durable import sync

log = logging.getLogger(__name__)

DAMAGED = ".damaged"
DAMAGED_KEPT_MAX = 3
READ_BYTES = 1 << 20
# What changes when somebody writes to a file: its inode, size, and time of change in nanoseconds.
_Mark = tuple[int, int, int]


class Stored(NamedTuple):
    """A blob: its digest, its bytes, and when it was last used and last written, in epoch seconds."""

    digest: str
    bytes: int
    used_at: float
    written_at: float

    @property
    def idle_since(self) -> float:
        """When it was last used or written."""
        return max(self.used_at, self.written_at)


class Pin:
    """Keeps a blob where it is for as long as this is held; `path` is its file."""

    def __init__(self, path: Path, handle: int) -> None:
        self.path = path
        self._handle = handle

    def __enter__(self) -> Pin:
        return self

    def __exit__(self, *_: object) -> None:
        self.release()

    def release(self) -> None:
        """Let the blob go; safe to call twice."""
        if self._handle >= 0:
            os.close(self._handle)
            self._handle = -1


class BlobStore:
    """The blobs of one folder; methods block, and may be called from any thread."""

    def __init__(self, folder: Path, budget_bytes: int | None = None, reserve_bytes: int = 0) -> None:
        """`budget_bytes` is what all blobs may take: the one whose last use is longest ago makes room.
        `reserve_bytes` is what must stay free on the disk."""
        self._folder = folder
        self._budget_bytes = budget_bytes
        self._reserve_bytes = reserve_bytes
        # Blobs that this process has verified, as they were then.
        self._verified: dict[str, _Mark] = {}

    @property
    def folder(self) -> Path:
        """The folder; the file of a blob is `folder / digest`."""
        return self._folder

    def prepare(self) -> None:
        """Make the folder, and remove what killed writers left. Raises OSError."""
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        left = remove_left(self._folder / FOLDER)
        if left:
            log.info("removed %d files from %s, whose writers had ended", left, self._folder.name)

    # ------------------------------------------------------------------------------------------ writing

    def begin(self, size: int | None = None) -> Incoming:
        """Begin to write a blob, of `size` bytes if that is known. Raises StoreFull and OSError."""
        if size is not None:
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._make_room(size)
            self._need_disk(size)
        return Incoming(self._folder / FOLDER, self._place, self._need_disk)

    def add(self, path: Path) -> Written:
        """Copy a file into the store. Raises StoreFull and OSError."""
        with path.open("rb") as file:
            incoming = self.begin(os.fstat(file.fileno()).st_size)
            try:
                while data := file.read(READ_BYTES):
                    incoming.write(data)
                return incoming.finish()
            finally:
                incoming.abandon()

    def _place(self, draft: Path, written: Written) -> None:
        """Give a durable file its name, unless a sound one has it."""
        self._make_room(written.bytes, written.digest)
        path = self._folder / written.digest
        try:
            os.link(draft, path)
        except FileExistsError:
            # Held, or it could be removed as one that nobody has written for long. Where it was damaged, or
            # is gone at the same moment, this one takes its place.
            with contextlib.suppress(BlobMissing, BlobDamaged), self.pin(written.digest):
                os.utime(path)
                return
            with contextlib.suppress(FileExistsError):
                os.link(draft, path)
        self._verified[written.digest] = _mark(path.stat())
        sync(self._folder)

    # ------------------------------------------------------------------------------------------ reading

    def has(self, digest: str) -> bool:
        """Say whether a blob is here."""
        return is_digest(digest) and (self._folder / digest).is_file()

    def size(self, digest: str) -> int:
        """Return the bytes of a blob. Raises BlobMissing."""
        try:
            return (self._path(digest)).stat().st_size
        except FileNotFoundError:
            raise BlobMissing(digest) from None

    def open(self, digest: str) -> BinaryIO:
        """Open a blob for reading, which counts as a use of it. Raises BlobMissing and OSError.

        Its bytes are not verified: `read` and `pin` do that.
        """
        try:
            file = self._path(digest).open("rb")
        except FileNotFoundError:
            raise BlobMissing(digest) from None
        _use(file.fileno())
        return file

    def read(self, digest: str, size: int = READ_BYTES) -> Iterator[bytes]:
        """Yield the bytes of a blob in pieces of `size`.

        Raises BlobMissing, BlobDamaged before the last piece, so that nobody takes a damaged blob for a whole
        one, and OSError.
        """
        hashed = sha256()
        with self.open(digest) as file:
            data = file.read(size)
            while True:
                after = file.read(size) if data else b""
                hashed.update(data)
                if not after:
                    break
                yield data
                data = after
            if hashed.hexdigest() != digest:
                self._set_aside(digest, _mark(os.fstat(file.fileno())))
                raise BlobDamaged(digest)
        if data:
            yield data

    def pin(self, digest: str) -> Pin:
        """Keep a blob from being evicted, and verify it unless this process has done so since it was written.

        Raises BlobMissing, BlobDamaged and OSError.
        """
        path = self._path(digest)
        while True:
            try:
                handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
            except FileNotFoundError:
                raise BlobMissing(digest) from None
            pin = Pin(path, handle)
            try:
                fcntl.flock(handle, fcntl.LOCK_SH)
                if not os.fstat(handle).st_nlink:
                    pin.release()
                    continue
                _use(handle)
                if not self.verify(digest):
                    raise BlobDamaged(digest)
            except BaseException:
                pin.release()
                raise
            return pin

    def verify(self, digest: str, *, again: bool = False) -> bool:
        """Say whether a blob is here and sound; a damaged one is set aside.

        One that this process has verified is only read `again` where it has changed since. Raises OSError.
        """
        path = self._path(digest)
        try:
            with path.open("rb") as file:
                mark = _mark(os.fstat(file.fileno()))
                if self._verified.get(digest) == mark and not again:
                    return True
                hashed = sha256()
                while data := file.read(READ_BYTES):
                    hashed.update(data)
        except FileNotFoundError:
            self._verified.pop(digest, None)
            return False
        if hashed.hexdigest() != digest:
            self._set_aside(digest, mark)
            return False
        self._verified[digest] = mark
        return True

    def stored(self) -> list[Stored]:
        """Return all blobs."""
        found: list[Stored] = []
        with contextlib.suppress(FileNotFoundError), os.scandir(self._folder) as entries:
            for entry in entries:
                if is_digest(entry.name):
                    with contextlib.suppress(FileNotFoundError):
                        seen = entry.stat(follow_symlinks=False)
                        found.append(Stored(entry.name, seen.st_size, seen.st_atime, seen.st_mtime))
        return found

    # ------------------------------------------------------------------------------------------ removing

    def delete(self, digest: str, *, idle_before: float | None = None) -> bool:
        """Remove a blob unless somebody uses it, or has used or written it since `idle_before`; say whether
        it is gone."""
        path = self._path(digest)
        try:
            handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError:
            return True
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            seen = os.fstat(handle)
            if idle_before is not None and max(seen.st_atime, seen.st_mtime) >= idle_before:
                return False
            path.unlink(missing_ok=True)
        except BlockingIOError:
            return False
        finally:
            os.close(handle)
        self._verified.pop(digest, None)
        return True

    def _make_room(self, size: int, keep: str = "") -> None:
        """Evict blobs until so many more bytes are within the budget; raise StoreFull where too many are in
        use."""
        if self._budget_bytes is None:
            return
        there = [blob for blob in self.stored() if blob.digest != keep]
        left = sum(blob.bytes for blob in there)
        if size <= self._budget_bytes:
            for blob in sorted(there, key=lambda blob: blob.used_at):
                if left + size <= self._budget_bytes:
                    break
                if self.delete(blob.digest):
                    left -= blob.bytes
        else:
            left = 0
        if left + size > self._budget_bytes:
            raise StoreFull(
                f"the file has {size} bytes; files in use have {left}, and the budget is {self._budget_bytes}"
            )

    def _need_disk(self, size: int) -> None:
        """Raise StoreFull where a write of so many bytes would take what must stay free."""
        seen = os.statvfs(self._folder)
        free = seen.f_bavail * seen.f_frsize
        if free - size < self._reserve_bytes:
            raise StoreFull(
                f"the disk is full: {free} bytes are free, of which {self._reserve_bytes} are kept for others"
            )

    def _set_aside(self, digest: str, mark: _Mark) -> None:
        """Move a damaged blob away, unless another process has written it again since it was read."""
        path, aside = self._folder / digest, self._folder / DAMAGED
        aside.mkdir(mode=0o700, exist_ok=True)
        self._verified.pop(digest, None)
        with contextlib.suppress(FileNotFoundError):
            if _mark(path.stat()) != mark:
                return
            path.replace(aside / digest)
            os.utime(aside / digest)
            log.error("the blob %s was damaged, and was moved to %s", digest, DAMAGED)
            for old in sorted(aside.iterdir(), key=lambda path: path.stat().st_mtime)[:-DAMAGED_KEPT_MAX]:
                old.unlink(missing_ok=True)

    def _path(self, digest: str) -> Path:
        """Return where a blob is; raises BlobMissing for what cannot be a digest."""
        if not is_digest(digest):
            raise BlobMissing(digest)
        return self._folder / digest


def _mark(seen: os.stat_result) -> _Mark:
    return seen.st_ino, seen.st_size, seen.st_mtime_ns


def _use(handle: int) -> None:
    """Note that a blob is used now; when it was written stays as it is."""
    with contextlib.suppress(PermissionError):
        os.utime(handle, ns=(time.time_ns(), os.fstat(handle).st_mtime_ns))
