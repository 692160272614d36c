"""Outputs of a model as a Parquet file: a column for each; several numbers of a row are a list of them."""

from __future__ import annotations

import math
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import duckdb
import numpy as np

from helix_ray.inference.tensors import Array


def written(arrays: Mapping[str, Array]) -> bytes:
    """Return the file of outputs, all of the same number of rows."""
    with _database() as (database, path):
        columns = []
        for index, (name, array) in enumerate(arrays.items()):
            database.register(f"flat{index}", {"v": _flat(array)})
            database.execute(_table_of(index, array))
            columns.append(f"c{index}.v AS {quoted(name)}")
        tables = " JOIN ".join(f"c{index}{' USING (n)' if index else ''}" for index in range(len(arrays)))
        select = f"SELECT {', '.join(columns)} FROM {tables} ORDER BY n"
        database.execute(f"COPY ({select}) TO '{path}' (FORMAT parquet)")
        return path.read_bytes()


def read(data: bytes, shapes: Mapping[str, Sequence[int]]) -> dict[str, Array]:
    """Return the outputs in a file that `written` made, given their shapes."""
    with _database() as (database, path):
        path.write_bytes(data)
        found: dict[str, Array] = {}
        for name, shape in shapes.items():
            column = quoted(name) if len(shape) == 1 else f"unnest({quoted(name)})"
            values = database.execute(f"SELECT {column} AS v FROM read_parquet('{path}')").fetchnumpy()["v"]
            found[name] = np.asarray(values).reshape(shape)
        return found


def quoted(name: str) -> str:
    """Return a name of a column as SQL has it."""
    return '"' + name.replace('"', '""') + '"'


@contextmanager
def _database() -> Iterator[tuple[duckdb.DuckDBPyConnection, Path]]:
    """Give a database in memory, and the path of a file that goes with it."""
    with (
        tempfile.TemporaryDirectory(prefix="helix-outputs-") as folder,
        duckdb.connect(config={"threads": 1}) as database,
    ):
        yield database, Path(folder) / "outputs.parquet"


def _flat(array: Array) -> Array:
    """Return the values of an output in a type that a Parquet file has."""
    flat = np.ascontiguousarray(array).reshape(-1)
    return flat.astype(np.float32) if flat.dtype == np.float16 else flat


def _table_of(index: int, array: Array) -> str:
    """Return the statement that makes the table of an output, numbered by row."""
    # DuckDB takes the NaN of an array for NULL.
    value = "coalesce(v, 'NaN') AS v" if array.dtype.kind == "f" else "v"
    numbered = f"(SELECT {value}, row_number() OVER () - 1 AS i FROM flat{index})"
    if array.ndim == 1:
        return f"CREATE TEMP TABLE c{index} AS SELECT v, i AS n FROM {numbered}"
    width = max(1, math.prod(array.shape[1:]))
    lists = f"SELECT list(v ORDER BY i) AS v, i // {width} AS n FROM {numbered} GROUP BY n"
    return f"CREATE TEMP TABLE c{index} AS {lists}"
