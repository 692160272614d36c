"""The rows of an examination: given as an .npz file, or made from the shapes of the inputs.

What calibrates INT8 must not judge it. One file that was given is split; a row that is in both files
judges nothing.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray

from helix_ray.inference.candidate import NamedRows, NotUsable
from helix_ray.inference.given_rows import ReadingLimits, read_rows
from helix_ray.inference.graphs import embedding_sizes
from helix_ray.inference.variants import TensorShape

__all__ = ["PreparedRows", "made", "prepare"]

Array = NDArray[Any]

CALIBRATION_ROWS_MAX = 256
JUDGING_ROWS_MAX = 2048
MADE_ROWS = 48
"""Rows that are made where none are given, to calibrate and again to judge."""

MADE_BYTES_MAX = 64 * 2**20

ROWS_BYTES_MAX = 256 * 2**20
"""Bytes of one given file that are read, after unpacking."""

CALIBRATING_SHARE = 0.25
"""Part of one given file that calibrates; the rest judges."""

FREE_SIZES = (16, 64, 224, 1)
"""Sizes that are tried for axes of any size other than the batch, in this order."""

INTEGERS_BELOW = 2
"""Integer inputs that are no indices of an embedding are 0 or 1: masks and kinds of segments are."""


@dataclass(frozen=True, slots=True)
class PreparedRows:
    """The rows that calibrate, the rows that judge, and what is to be said of them."""

    calibration: NamedRows
    judging: NamedRows
    warnings: list[str]


def prepare(
    calibration: Path | None, heldout: Path | None, inputs: Sequence[TensorShape], graph: onnx.GraphProto,
    batch: str, free_size: int = FREE_SIZES[0], bytes_max: int = ROWS_BYTES_MAX,
) -> PreparedRows:  # fmt: skip
    """Return the rows of an examination, `bytes_max` of each file; raises NotUsable where a given file does
    not fit the inputs."""
    if calibration is None and heldout is None:
        sizes = embedding_sizes(graph)
        first, second = (made(inputs, sizes, batch, free_size, seed) for seed in (1, 2))
        return PreparedRows(
            first, second, ["no data was given: rows were made from the shapes of the inputs"]
        )
    if calibration is not None and heldout is not None and calibration != heldout:
        limit = ReadingLimits(CALIBRATION_ROWS_MAX, bytes_max)
        first = read_rows(calibration, inputs, batch, limit, "calibration")
        # Rows that calibrate, too, are left out below, so as many more are read.
        limit = ReadingLimits(CALIBRATION_ROWS_MAX + JUDGING_ROWS_MAX, bytes_max)
        return _apart(first, read_rows(heldout, inputs, batch, limit, "heldout"))
    path, word = (heldout, "heldout") if heldout is not None else (calibration, "calibration")
    assert path is not None
    limit = ReadingLimits(CALIBRATION_ROWS_MAX + JUDGING_ROWS_MAX, bytes_max)
    return _split(read_rows(path, inputs, batch, limit, word))


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
        what = "that are not in the calibration file" if warnings is None else "that differ from each other"
        raise NotUsable(f"heldout: every row calibrates, too; give rows {what}")
    notes = list(warnings or ())
    if not fresh.all():
        notes.append(f"{int((~fresh).sum())} rows of heldout are in calibration, too: they do not judge")
        labels = None if judging.labels is None else judging.labels[fresh]
        judging = NamedRows(
            {name: array[fresh] for name, array in judging.arrays.items()}, labels, judging.data
        )
    if judging.unread or len(judging) > JUDGING_ROWS_MAX:
        judging = judging.part(0, JUDGING_ROWS_MAX)
        notes.append(f"{len(judging)} rows judge: what else was given is not read, to bound time and memory")
    return PreparedRows(calibration, judging, notes)


def _keys(rows: NamedRows) -> list[bytes]:
    """Return a digest for each row."""
    return [_key([array[index] for array in rows.arrays.values()]) for index in range(len(rows))]


def _key(row: list[Array]) -> bytes:
    digest = hashlib.sha256()
    for each in row:
        digest.update(repr(np.asarray(each).tolist()).encode() if each.dtype.hasobject else each.tobytes())
    return digest.digest()
