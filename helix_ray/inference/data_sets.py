"""Opens a data set, whose rows are then read in bounded memory.

    .npy       mapped into memory; for a model with one input
    .npz       one array for each input, by name; read as a stream, so it may be compressed
    .parquet   a column for each input, by name: numbers, or lists; a model with one input [n, k] also takes
               k columns of numbers, in their order
    .jsonl     a line for each row: an object by input name, or the value of the only input

The kind of a file is read from its first bytes. What a file has beyond the model's inputs is ignored.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from helix_ray.inference.errors import BadInput
from helix_ray.inference.line_rows import LineRows
from helix_ray.inference.numpy_files import read_header
from helix_ray.inference.rows import ArchiveRows, ArrayRows, Rows
from helix_ray.inference.tensors import NPY_MAGIC, Array, TensorSpec

ZIP_MAGIC = b"PK\x03\x04"
PARQUET_MAGIC = b"PAR1"


def open_rows(path: Path, specs: Sequence[TensorSpec]) -> Rows:
    """Return the rows of a file for inputs `[rows, ...]` (`tensors.by_rows`); raises BadInput."""
    # Here, because it loads DuckDB.
    from helix_ray.inference.table_rows import TableRows

    try:
        with path.open("rb") as file:
            magic = file.read(len(NPY_MAGIC))
    except OSError as error:
        raise BadInput(f"the data set cannot be read: {error.strerror}") from None
    if magic.startswith(NPY_MAGIC):
        return ArrayRows(_mapped(path, specs), specs)
    if magic.startswith(ZIP_MAGIC):
        return ArchiveRows(path, specs)
    if magic.startswith(PARQUET_MAGIC):
        return TableRows(path, specs)
    return LineRows(path, specs)


def _mapped(path: Path, specs: Sequence[TensorSpec]) -> dict[str, Array]:
    if len(specs) != 1:
        names = ", ".join(spec.name for spec in specs)
        raise BadInput(f"a .npy file has one array, and the model has {len(specs)} inputs: {names}")
    try:
        with path.open("rb") as file:
            shape, _, dtype = read_header(file)
            claimed, has = math.prod(shape) * dtype.itemsize, path.stat().st_size - file.tell()
        if claimed > has:
            raise ValueError(f"its header says {claimed} bytes of data, and it has {has}")
        array = np.load(path, mmap_mode="r", allow_pickle=False)
    except (ValueError, EOFError, OSError) as error:
        raise BadInput(f"the .npy file cannot be read: {error}") from None
    if not array.ndim:
        raise BadInput("the .npy file has a single value, and no rows")
    return {specs[0].name: array}
