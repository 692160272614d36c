"""The rows of an examination: given as an .npz file, or made from the shapes of the inputs.

What calibrates INT8 must not judge it. One file that was given is split; a row that is in both files
judges nothing.
"""

from __future__ import annotations

import itertools
import math
import zipfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np
import onnx
from numpy.typing import NDArray

from helix_ray.inference.candidate import NamedRows, NotUsable
from helix_ray.inference.graphs import embedding_sizes
from helix_ray.inference.variants import TensorShape

__all__ = ["PreparedRows", "made", "prepare", "read_rows"]

Array = NDArray[Any]

CALIBRATION_ROWS_MAX = 256
JUDGING_ROWS_MAX = 2048
MADE_ROWS = 48
"""NamedRows that are made where none are given, to calibrate and again to judge."""

MADE_BYTES_MAX = 64 * 2**20

CALIBRATING_SHARE = 0.25
"""Part of one given file that calibrates; the rest judges."""

FREE_SIZES = (16, 64, 224, 1)
"""Sizes that are tried for axes of any size other than the batch, in this order."""

INTEGERS_BELOW = 2
"""Integer inputs that are no indices of an embedding are 0 or 1: masks and kinds of segments are."""

_LABELS = "labels"


@dataclass(frozen=True, slots=True)
class PreparedRows:
    """The rows that calibrate, the rows that judge, and what is to be said of them."""

    calibration: NamedRows
    judging: NamedRows
    warnings: list[str]


def prepare(
    calibration: Path | None, heldout: Path | None, inputs: Sequence[TensorShape], graph: onnx.GraphProto,
    batch: str, free_size: int = FREE_SIZES[0],
) -> PreparedRows:  # fmt: skip
    """Return the rows of an examination; raises NotUsable where a given file does not fit the inputs."""
    if calibration is None and heldout is None:
        sizes = embedding_sizes(graph)
        first, second = (made(inputs, sizes, batch, free_size, seed) for seed in (1, 2))
        return PreparedRows(
            first, second, ["no data was given: rows were made from the shapes of the inputs"]
        )
    limit = CALIBRATION_ROWS_MAX + JUDGING_ROWS_MAX
    given = [
        read_rows(path, inputs, batch, limit, word)
        for path, word in ((calibration, "calibration"), (heldout, "heldout"))
        if path is not None
    ]
    if len(given) == 1 or calibration == heldout:
        return _split(given[0])
    return _apart(given[0], given[1])


def read_rows(path: Path, inputs: Sequence[TensorShape], batch: str, rows_max: int, word: str) -> NamedRows:
    """Return the first rows of an .npz file with an array for each input, and optionally `labels`; raises
    NotUsable.

    No more than `rows_max` rows are read from the file, whatever its size. `word` names the file in
    messages.
    """
    arrays: dict[str, Array] = {}
    labels = None
    try:
        with zipfile.ZipFile(path) as archive:
            members = {name.removesuffix(".npy") for name in archive.namelist()}
            _check_names(members, {each["name"] for each in inputs}, word)
            for each in inputs:
                with archive.open(f"{each['name']}.npy") as file:
                    arrays[each["name"]] = _array(file, each, batch, rows_max, word)
            if _LABELS in members - arrays.keys():
                with archive.open(f"{_LABELS}.npy") as file:
                    labels = _first_rows(file, rows_max, f"{word}: {_LABELS}")
    except (zipfile.BadZipFile, zipfile.LargeZipFile, EOFError, OSError) as error:
        raise NotUsable(f"{word}: not an .npz file: {error}") from error
    lengths = {name: len(array) for name, array in arrays.items()}
    if labels is not None:
        lengths[_LABELS] = len(labels)
        if labels.dtype.kind not in "iu" or labels.ndim != 1:
            raise NotUsable(
                f"{word}: labels must be whole numbers [rows], not {labels.dtype} {list(labels.shape)}"
            )
    if len(set(lengths.values())) != 1:
        raise NotUsable(f"{word}: the arrays differ in rows: {lengths}")
    if not next(iter(lengths.values())):
        raise NotUsable(f"{word}: it has no rows")
    return NamedRows(arrays, None if batch == "none" else labels, "given")


def made(
    inputs: Sequence[TensorShape], embeddings: dict[str, int], batch: str, free_size: int, seed: int
) -> NamedRows:  # fmt: skip
    """Return rows made by chance from the shapes: normal numbers, indices within their embedding, 0 or 1."""
    chance = np.random.default_rng(seed)
    inner: dict[str, list[int]] = {}
    for each in inputs:
        shape = [size if isinstance(size, int) else free_size for size in each["shape"]]
        inner[each["name"]] = shape if batch == "none" else shape[1:]
    count = _row_count(inner.values(), int(batch.split()[1]) if batch.startswith("fixed") else 1)
    arrays = {
        each["name"]: _made(each, [count, *inner[each["name"]]], embeddings.get(each["name"]), chance)
        for each in inputs
    }
    return NamedRows(arrays, None, "synthetic")


def _row_count(shapes: Iterable[list[int]], batch: int) -> int:
    """Return how many rows are made: whole batches, within MADE_ROWS and MADE_BYTES_MAX where possible."""
    row_bytes = sum(8 * math.prod(shape) for shape in shapes)
    wanted = max(2, min(MADE_ROWS, MADE_BYTES_MAX // max(1, row_bytes)))
    return math.ceil(wanted / batch) * batch


def _made(each: TensorShape, shape: list[int], below: int | None, chance: np.random.Generator) -> Array:
    dtype = each["dtype"]
    if dtype == "str":
        raise NotUsable(f"input {each['name']!r} is text, which cannot be made: give rows with --heldout")
    kind = np.dtype(dtype).kind
    if kind == "f":
        return chance.standard_normal(shape, dtype=np.float32).astype(dtype)
    if kind == "b":
        return chance.integers(0, 2, shape).astype(bool)
    return chance.integers(0, below or INTEGERS_BELOW, shape).astype(dtype)


def _split(rows: NamedRows) -> PreparedRows:
    """Use the first rows of one file to calibrate, and the others to judge."""
    if len(rows) < 2:
        raise NotUsable(
            "the given data has 1 row; at least 2 are needed, since what calibrates must not judge"
        )
    count = min(CALIBRATION_ROWS_MAX, max(1, int(len(rows) * CALIBRATING_SHARE)))
    rest = len(rows) - count
    note = f"one file was given: its first {count} rows calibrate, the next {rest} judge"
    return _apart(rows.part(0, count), rows.part(count, None), [note])


def _apart(calibration: NamedRows, judging: NamedRows, warnings: list[str] | None = None) -> PreparedRows:
    """Return both without the rows of `judging` that calibrate, too."""
    calibration = calibration.part(0, CALIBRATION_ROWS_MAX)
    seen = set(_keys(calibration))
    fresh = np.array([key not in seen for key in _keys(judging)], dtype=bool)
    if not fresh.any():
        raise NotUsable("heldout: every row calibrates, too; give rows that are not in the calibration file")
    notes = list(warnings or ())
    if not fresh.all():
        notes.append(f"{int((~fresh).sum())} rows of heldout are in calibration, too: they do not judge")
        labels = None if judging.labels is None else judging.labels[fresh]
        judging = NamedRows(
            {name: array[fresh] for name, array in judging.arrays.items()}, labels, judging.data
        )
    return PreparedRows(calibration, judging.part(0, JUDGING_ROWS_MAX), notes)


def _keys(rows: NamedRows) -> list[bytes]:
    if any(array.dtype.hasobject for array in rows.arrays.values()):
        return [
            repr([array[i].tolist() for array in rows.arrays.values()]).encode() for i in range(len(rows))
        ]
    return [b"".join(array[i].tobytes() for array in rows.arrays.values()) for i in range(len(rows))]


def _check_names(members: set[str], wanted: set[str], word: str) -> None:
    if missing := sorted(wanted - members):
        raise NotUsable(
            f"{word}: no array for input {missing[0]!r}; it has {', '.join(sorted(members)) or 'none'}"
        )
    if unknown := sorted(members - wanted - {_LABELS}):
        raise NotUsable(f"{word}: {unknown[0]!r} is not an input; the inputs are {', '.join(sorted(wanted))}")


def _array(file: IO[bytes], each: TensorShape, batch: str, rows_max: int, word: str) -> Array:
    where = f"{word}: input {each['name']!r}"
    array = _first_rows(file, rows_max, where)
    if each["dtype"] == "str" and array.dtype.kind == "U":
        array = array.astype(object)
    elif array.dtype != np.dtype(each["dtype"] if each["dtype"] != "str" else object):
        raise NotUsable(f"{where} must be {each['dtype']}, not {array.dtype}")
    if batch == "none" and array.ndim == len(each["shape"]):
        array = array[None]
    wanted = each["shape"] if batch == "none" else each["shape"][1:]
    got = array.shape[1:]
    fits = len(got) == len(wanted) and all(
        not isinstance(want, int) or want == size for want, size in zip(wanted, got, strict=True)
    )
    if not fits:
        raise NotUsable(f"{where} must have the shape {each['shape']}, not {list(array.shape)}")
    return array


def _first_rows(file: IO[bytes], rows_max: int, where: str) -> Array:
    """Read the first rows of a .npy file and no more."""
    try:
        version = np.lib.format.read_magic(file)
        read = (
            np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        )
        shape, fortran, dtype = read(file)
    except ValueError as error:
        raise NotUsable(f"{where}: not a .npy array: {error}") from error
    if dtype.hasobject:
        raise NotUsable(
            f"{where}: Python objects are not read, since that runs code; use numbers or text of fixed width"
        )
    if not shape:
        raise NotUsable(f"{where}: one number, where rows are needed")
    if fortran and len(shape) > 1:
        raise NotUsable(f"{where}: stored in Fortran order; save it with numpy.ascontiguousarray")
    count = min(shape[0], rows_max)
    size = count * math.prod(shape[1:]) * dtype.itemsize
    data = b"".join(itertools.takewhile(bool, _pieces(file, size)))
    if len(data) != size:
        raise NotUsable(f"{where}: it ends too early")
    array: Array = np.frombuffer(data, dtype).reshape(count, *shape[1:])
    return array.astype(dtype.newbyteorder("="))


def _pieces(file: IO[bytes], size: int) -> Any:
    while size > 0:
        piece = file.read(min(size, 2**20))
        size -= len(piece)
        yield piece
