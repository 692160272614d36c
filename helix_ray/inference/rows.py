"""The rows of arrays, in memory or in files, read batch by batch."""

from __future__ import annotations

import math
import zipfile
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO, Protocol

import numpy as np

from helix_ray.core.names import first_names
from helix_ray.inference.errors import BadInput
from helix_ray.inference.numpy_files import ArrayArchive, read_header
from helix_ray.inference.tensors import Array, TensorSpec, checked

SKIP_BYTES = 1 << 20
BATCH_BYTES_MAX = 1 << 30
"""Largest batch that is read, in bytes: a file can claim rows of any size."""


class Rows(Protocol):
    """Rows 0 to `count`; cheapest to read in order."""

    count: int

    def read(self, start: int, stop: int) -> dict[str, Array]:
        """Return these rows by input; raises BadInput."""
        ...

    def close(self) -> None:
        """Let the file go; safe to call twice."""
        ...


class ArrayRows:
    """Rows of arrays that are in memory, or mapped into it."""

    def __init__(self, arrays: Mapping[str, Array], specs: Sequence[TensorSpec]) -> None:
        """Raises BadInput where the arrays have no common number of rows."""
        self._arrays, self._specs = arrays, specs
        self.count = common_count({name: len(array) for name, array in arrays.items()})

    def read(self, start: int, stop: int) -> dict[str, Array]:
        """Return these rows by input; raises BadInput."""
        parts = {name: np.ascontiguousarray(array[start:stop]) for name, array in self._arrays.items()}
        return checked(parts, self._specs)

    def close(self) -> None:
        """Let the arrays go."""
        self._arrays = {}


class ArchiveRows:
    """Rows of the arrays in a .npz file."""

    def __init__(self, path: Path, specs: Sequence[TensorSpec]) -> None:
        self._specs = specs
        try:
            self._archive = ArrayArchive(path)
        except (zipfile.BadZipFile, OSError) as error:
            raise BadInput(f"the .npz file cannot be read: {error}") from None
        self._members: dict[str, _Member] = {}
        try:
            for spec in specs:
                self._members[spec.name] = _Member(self._archive, spec)
            self.count = common_count({name: member.shape[0] for name, member in self._members.items()})
        except BadInput:
            self.close()
            raise

    def read(self, start: int, stop: int) -> dict[str, Array]:
        """Return these rows by input; raises BadInput."""
        parts = {name: member.read(start, stop) for name, member in self._members.items()}
        return checked(parts, self._specs)

    def close(self) -> None:
        """Close the file; safe to call twice."""
        for member in self._members.values():
            member.close()
        self._archive.close()


class _Member:
    """An array in an archive, as a stream of rows."""

    def __init__(self, archive: zipfile.ZipFile, spec: TensorSpec) -> None:
        self._archive, self._name, self._at = archive, spec.name, 0
        names = sorted(name.removesuffix(".npy") for name in archive.namelist())
        if spec.name not in names:
            raise BadInput(f"the .npz file has no array {spec.name!r}: it has {first_names(names)}")
        self._file = self._opened()
        try:
            self.shape, fortran, self._dtype = read_header(self._file)
        except (ValueError, EOFError, zipfile.BadZipFile, OSError) as error:
            self._file.close()
            raise self._unreadable(error) from None
        if fortran or not self.shape or self._dtype.hasobject:
            self._file.close()
            raise BadInput(f"array {spec.name!r}: it must have rows, in C order, and no Python objects")
        self._row_bytes = math.prod(self.shape[1:]) * self._dtype.itemsize

    def read(self, start: int, stop: int) -> Array:
        """Return rows as an array."""
        try:
            if start < self._at:
                self._file.close()
                self._file = self._opened()
                read_header(self._file)
                self._at = 0
            self._skip((start - self._at) * self._row_bytes)
            within_limit(stop - start, self._row_bytes)
            data = self._file.read((stop - start) * self._row_bytes)
        except (zipfile.BadZipFile, zlib.error, OSError, EOFError) as error:
            raise self._unreadable(error) from None
        if len(data) != (stop - start) * self._row_bytes:
            raise BadInput(f"array {self._name!r} ends before its row {stop}")
        self._at = stop
        return np.frombuffer(data, self._dtype).reshape(stop - start, *self.shape[1:])

    def close(self) -> None:
        """Close the stream; safe to call twice."""
        self._file.close()

    def _opened(self) -> IO[bytes]:
        try:
            return self._archive.open(f"{self._name}.npy")
        except (KeyError, zipfile.BadZipFile, OSError, RuntimeError) as error:
            raise self._unreadable(error) from None

    def _unreadable(self, error: Exception) -> BadInput:
        return BadInput(f"array {self._name!r} cannot be read: {error}")

    def _skip(self, left: int) -> None:
        while left > 0:
            left -= len(self._file.read(min(left, SKIP_BYTES))) or left


def common_count(counts: Mapping[str, int]) -> int:
    """Return the number of rows that all inputs have; raises BadInput where they differ."""
    if len(set(counts.values())) != 1:
        listed = ", ".join(f"{name} has {count}" for name, count in counts.items())
        raise BadInput(f"all inputs must have the same number of rows: {listed}")
    return next(iter(counts.values()))


def within_limit(rows: int, row_bytes: int) -> None:
    """Raise BadInput for a batch that is too large to be read."""
    if rows * row_bytes > BATCH_BYTES_MAX:
        raise BadInput(f"{rows} rows have {rows * row_bytes} bytes; a batch has at most {BATCH_BYTES_MAX}")
