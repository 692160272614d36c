"""Reads the first rows of an .npz file that was given with a model, and no more than may be held."""

from __future__ import annotations

import math
import zipfile
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from helix_ray.core.names import first_names
from helix_ray.inference.candidate import NamedRows, NotUsable
from helix_ray.inference.numpy_files import ArrayArchive, read_header
from helix_ray.inference.tensors import NPY_MAGIC
from helix_ray.inference.variants import TensorShape

__all__ = ["ReadingLimits", "read_rows"]

Array = NDArray[Any]

READ_BYTES = 2**20

_LABELS = "labels"


@dataclass(frozen=True, slots=True)
class ReadingLimits:
    """How much is read of a file: rows, and bytes of their inputs after unpacking; one row in any case."""

    rows_max: int
    bytes_max: int


@dataclass(frozen=True, slots=True)
class _Header:
    shape: tuple[int, ...]
    dtype: np.dtype[Any]

    @property
    def row_bytes(self) -> int:
        return math.prod(self.shape[1:]) * self.dtype.itemsize


def read_rows(
    path: Path, inputs: Sequence[TensorShape], batch: str, limits: ReadingLimits, word: str
) -> NamedRows:  # fmt: skip
    """Return the first rows of an .npz file with an array for each input, and optionally `labels`.

    Sizes are read before the data. `word` names the file in messages. Raises NotUsable where it does not fit.
    """
    try:
        with ArrayArchive(path) as archive:
            headers = _headers(archive, inputs, word)
            labels_header = headers.pop(_LABELS, None) if not _is_input(_LABELS, inputs) else None
            _check_lengths(headers, labels_header, word)
            shapes = {each["name"]: each for each in inputs}
            for name, header in headers.items():
                _check_array(header, shapes[name], batch, word)
            count = _count(headers, batch, inputs, limits)
            unread = next(iter(headers.values())).shape[0] - count
            arrays = {name: _read(archive, name, count, word) for name in headers}
            labels = None if labels_header is None else _read(archive, _LABELS, count, word)
    except (zipfile.BadZipFile, zipfile.LargeZipFile, EOFError, OSError, RuntimeError) as error:
        raise NotUsable(f"{word}: {_no_archive(path, inputs, error)}") from error
    arrays = {
        name: array.astype(object) if array.dtype.kind == "U" else array for name, array in arrays.items()
    }
    if batch == "none":
        whole = {each["name"] for each in inputs if arrays[each["name"]].ndim == len(each["shape"])}
        arrays = {name: array[None] if name in whole else array for name, array in arrays.items()}
        labels = None
    return NamedRows(arrays, labels, "given", unread=unread)


def _no_archive(path: Path, inputs: Sequence[TensorShape], error: Exception) -> str:
    """Return why a file that is not an .npz archive is refused, and how to make one of an array."""
    with suppress(OSError), path.open("rb") as file:
        if file.read(len(NPY_MAGIC)) == NPY_MAGIC:
            name = inputs[0]["name"]
            return f"a .npy file, where an .npz is needed: numpy.savez(FILE, **{{{name!r}: array}})"
    return f"not an .npz file: {error}"


def _is_input(name: str, inputs: Sequence[TensorShape]) -> bool:
    return any(each["name"] == name for each in inputs)


def _headers(archive: zipfile.ZipFile, inputs: Sequence[TensorShape], word: str) -> dict[str, _Header]:
    members = {name.removesuffix(".npy") for name in archive.namelist()}
    wanted = {each["name"] for each in inputs}
    if missing := sorted(wanted - members):
        have = first_names(sorted(members)) or "none"
        raise NotUsable(f"{word}: no array for input {missing[0]!r}; it has {have}")
    if unknown := sorted(members - wanted - {_LABELS}):
        raise NotUsable(
            f"{word}: {unknown[0]!r} is not an input; the inputs are {first_names(sorted(wanted))}"
        )
    found = {}
    for name in sorted(members):
        with archive.open(f"{name}.npy") as file:
            found[name] = _header(file, f"{word}: input {name!r}" if name in wanted else f"{word}: {name}")
    return found


def _header(file: IO[bytes], where: str) -> _Header:
    try:
        shape, fortran, dtype = read_header(file)
    except ValueError as error:
        raise NotUsable(f"{where}: not a .npy array: {error}") from error
    if dtype.hasobject:
        raise NotUsable(
            f"{where}: Python objects are not read, since that runs code; "
            "save numbers, or text as array.astype(str)"
        )
    if not shape:
        raise NotUsable(f"{where}: one number, where rows are needed")
    if fortran and len(shape) > 1:
        raise NotUsable(f"{where}: stored in Fortran order; save it with numpy.ascontiguousarray")
    return _Header(shape, dtype)


def _check_lengths(headers: Mapping[str, _Header], labels: _Header | None, word: str) -> None:
    lengths = {name: header.shape[0] for name, header in headers.items()}
    if labels is not None:
        lengths[_LABELS] = labels.shape[0]
        if labels.dtype.kind not in "iu" or len(labels.shape) != 1:
            raise NotUsable(
                f"{word}: labels must be whole numbers [rows], not {labels.dtype} {list(labels.shape)}"
            )
    if len(set(lengths.values())) != 1:
        raise NotUsable(f"{word}: the arrays differ in rows: {lengths}")
    if not next(iter(lengths.values())):
        raise NotUsable(f"{word}: it has no rows")


def _check_array(header: _Header, each: TensorShape, batch: str, word: str) -> None:
    where = f"{word}: input {each['name']!r}"
    is_right = (
        header.dtype.kind == "U"
        if each["dtype"] == "str"
        else header.dtype.newbyteorder("=") == each["dtype"]
    )
    if not is_right:
        raise NotUsable(f"{where} must be {each['dtype']}, not {header.dtype}")
    wanted, got = each["shape"], list(header.shape)
    if batch != "none":
        wanted, got = wanted[1:], got[1:]
    elif len(got) == len(wanted) + 1:
        got = got[1:]
    fits = len(got) == len(wanted) and all(
        not isinstance(want, int) or want == size for want, size in zip(wanted, got, strict=True)
    )
    if not fits:
        raise NotUsable(f"{where} must have the shape {each['shape']}, not {list(header.shape)}")


def _count(
    headers: Mapping[str, _Header], batch: str, inputs: Sequence[TensorShape], limits: ReadingLimits
) -> int:  # fmt: skip
    """Return how many rows are read: one batch in any case, and all of what is one call."""
    rows = next(iter(headers.values())).shape[0]
    if batch == "none" and any(len(headers[each["name"]].shape) == len(each["shape"]) for each in inputs):
        return rows
    row_bytes = sum(header.row_bytes for header in headers.values())
    allowed = min(limits.rows_max, limits.bytes_max // max(1, row_bytes))
    return min(rows, max(allowed, int(batch.split()[1]) if batch.startswith("fixed") else 1))


def _read(archive: zipfile.ZipFile, name: str, count: int, word: str) -> Array:
    """Return the first rows of an array; only these are unpacked."""
    with archive.open(f"{name}.npy") as file:
        header = _header(file, f"{word}: {name}")
        array: Array = np.empty((count, *header.shape[1:]), header.dtype)
        view = array.reshape(-1).view(np.uint8).data
        at = 0
        while at < len(view):
            piece = file.read(min(READ_BYTES, len(view) - at))
            if not piece:
                raise NotUsable(f"{word}: {name!r} ends too early")
            view[at : at + len(piece)] = piece
            at += len(piece)
    return array if header.dtype.isnative else array.astype(header.dtype.newbyteorder("="))
