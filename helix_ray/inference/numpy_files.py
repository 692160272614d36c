"""Opens .npy and .npz files that somebody else made: what they claim is bounded before it is believed."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["DIRECTORY_BYTES_MAX", "HEADER_BYTES_MAX", "ArrayArchive", "read_header", "write_archive"]

HEADER_BYTES_MAX = 16_384
"""Longest header. NumPy reads all that one claims, and a compressed archive of 2 MB can hold one of 2 GB."""

DIRECTORY_BYTES_MAX = 1 << 20
"""Largest list of the files in an archive: zipfile makes objects of all of it, ten bytes for each byte."""

SAID_CHARS_MAX = 200

_LENGTH_BYTES = {1: 2, 2: 4, 3: 4}


def read_header(file: IO[bytes]) -> tuple[tuple[int, ...], bool, np.dtype[Any]]:
    """Return the shape, whether it is in Fortran order, and the element type; the file is at its data then.

    Raises ValueError for what is no such header.
    """
    major, minor = np.lib.format.read_magic(file)
    if (major, minor) not in ((1, 0), (2, 0), (3, 0)):
        raise ValueError(f"its format is version {major}.{minor}; 1.0, 2.0 and 3.0 are read")
    length_bytes = file.read(_LENGTH_BYTES[major])
    length = int.from_bytes(length_bytes, "little")
    if length > HEADER_BYTES_MAX:
        raise ValueError(f"its header claims {length} bytes; the limit is {HEADER_BYTES_MAX}")
    read = np.lib.format.read_array_header_1_0 if major == 1 else np.lib.format.read_array_header_2_0
    try:
        shape, fortran, dtype = read(io.BytesIO(length_bytes + file.read(length)))
    except (ValueError, MemoryError, RecursionError, TypeError) as error:
        # The parser of Python has its own errors for brackets in brackets; NumPy's repeat all of the header.
        said = " ".join(str(error).split())[:SAID_CHARS_MAX] or type(error).__name__
        raise ValueError(f"its header cannot be read: {said}") from None
    if any(type(size) is not int or size < 0 for size in shape):
        raise ValueError(f"its shape cannot be {shape}")
    if not dtype.itemsize:
        raise ValueError(f"elements of the type {dtype} have no bytes")
    return shape, fortran, dtype


class ArrayArchive(zipfile.ZipFile):
    """A .npz file, open for reading; raises zipfile.BadZipFile where it is none, or has very many members."""

    def __init__(self, path: Path) -> None:
        self._file = _GuardedFile(io.FileIO(path))
        try:
            super().__init__(self._file)
        except BaseException:
            self._file.close()
            raise
        self._file.read_bytes_max = None

    def close(self) -> None:
        """Close the file; safe to call twice."""
        super().close()
        self._file.close()


def write_archive(path: Path, arrays: Mapping[str, NDArray[Any]]) -> None:
    """Write a .npz file; numpy.savez has arguments of its own, so that no array can be called `file`."""
    with zipfile.ZipFile(path, "w") as archive:
        for name, array in arrays.items():
            plain = array.astype(str) if array.dtype.hasobject else array
            with archive.open(f"{name}.npy", "w", force_zip64=True) as member:
                np.lib.format.write_array(member, plain, allow_pickle=False)


class _GuardedFile(io.BufferedReader):
    """A file that refuses large reads for a while: zipfile reads the list of members in one."""

    read_bytes_max: int | None = DIRECTORY_BYTES_MAX

    def read(self, size: int | None = -1, /) -> bytes:
        """Return up to `size` bytes."""
        if self.read_bytes_max is not None and size is not None and size > self.read_bytes_max:
            raise zipfile.BadZipFile(
                f"the list of its files has {size} bytes; the limit is {self.read_bytes_max}"
            )
        return super().read(size)
