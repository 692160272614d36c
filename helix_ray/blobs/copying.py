"""Copies of a whole folder of blobs, for backups: every byte is verified on its way."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from typing import BinaryIO, NamedTuple

from helix_ray.blobs.errors import BlobDamaged
from helix_ray.blobs.store import READ_BYTES, BlobStore
from helix_ray.durable import sync

# Called with the share that is done, 0 to 1.
Share = Callable[[float], None]


class Copied(NamedTuple):
    """How many blobs were copied, and the digests of those that were left out because they are damaged."""

    blobs: int
    damaged: tuple[str, ...]


def copy_blobs(source: Path, target: Path, share: Share) -> Copied:
    """Copy all sound blobs to a folder, which is made if there are any. Raises OSError.

    The source may be in use: a blob that is removed meanwhile is left out. Nothing in it is changed.
    """
    blobs = BlobStore(source).stored()
    copied, damaged = 0, []
    for number, blob in enumerate(blobs):
        share(number / len(blobs))
        target.mkdir(mode=0o700, exist_ok=True)
        with contextlib.suppress(FileNotFoundError):
            if _copy(source / blob.digest, target / blob.digest):
                copied += 1
            else:
                damaged.append(blob.digest)
    if blobs:
        sync(target)
    return Copied(copied, tuple(damaged))


def check_blobs(folder: Path, share: Share) -> int:
    """Verify all blobs of a folder; return how many. Raises BlobDamaged and OSError."""
    blobs = BlobStore(folder).stored()
    for number, blob in enumerate(blobs):
        share(number / len(blobs))
        hashed = sha256()
        with _unused(folder / blob.digest) as file:
            while data := file.read(READ_BYTES):
                hashed.update(data)
        if hashed.hexdigest() != blob.digest:
            raise BlobDamaged(blob.digest)
    return len(blobs)


def _copy(source: Path, target: Path) -> bool:
    """Copy a blob durably; False, and no copy, where its bytes do not have its digest."""
    hashed = sha256()
    with _unused(source) as reading:
        handle = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o400)
        with os.fdopen(handle, "wb") as writing:
            while data := reading.read(READ_BYTES):
                hashed.update(data)
                writing.write(data)
            writing.flush()
            os.fsync(writing.fileno())
    if hashed.hexdigest() == source.name:
        return True
    target.unlink()
    return False


def _unused(path: Path) -> BinaryIO:
    """Open a blob for reading in a way that is no use of it: backups would keep what nobody uses for ever."""
    flags = os.O_RDONLY | os.O_CLOEXEC
    try:
        return os.fdopen(os.open(path, flags | os.O_NOATIME), "rb")
    except PermissionError:  # not ours
        return os.fdopen(os.open(path, flags), "rb")
