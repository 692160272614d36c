"""The rows of a Parquet file, which DuckDB reads in chunks."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import duckdb
import numpy as np

from helix_ray.core.names import first_names
from helix_ray.inference.errors import BadInput
from helix_ray.inference.rows import within_limit
from helix_ray.inference.table_file import quoted
from helix_ray.inference.tensors import Array, TensorSpec, checked

CHUNK_BYTES = 16 << 20
CHUNK_ROWS_MAX = 16_384
MEMORY_LIMIT = "512MB"
# Of the lists of a chunk: a column that repeats one value is small in the file, whatever its lists have.
VALUES_MAX = 1 << 27
NUMBERS = (
    "TINYINT", "SMALLINT", "INTEGER", "BIGINT", "UTINYINT", "USMALLINT", "UINTEGER", "UBIGINT",
    "FLOAT", "DOUBLE", "DECIMAL", "BOOLEAN",
)  # fmt: skip
# In a path, DuckDB would read other files as well.
_GLOB = frozenset("*?[]")


class TableRows:
    """Rows of the columns of a Parquet file."""

    def __init__(self, path: Path, specs: Sequence[TensorSpec]) -> None:
        self._specs = specs
        self._path = str(path)
        if _GLOB & set(self._path):
            raise BadInput("the path of a .parquet file cannot contain * ? [ ]")
        self._database = duckdb.connect(config={"threads": 1, "memory_limit": MEMORY_LIMIT})
        try:
            described = self._query("DESCRIBE SELECT * FROM read_parquet(?)", self._path).fetchall()
            (self.count,) = self._query("SELECT count(*) FROM read_parquet(?)", self._path).fetchone() or (0,)
        except duckdb.Error as error:
            self._database.close()
            raise BadInput(f"the .parquet file cannot be read: {error}") from None
        types = {str(name): str(kind) for name, kind, *_ in described}
        self._columns = {spec.name: _columns_of(spec, types, len(specs)) for spec in specs}
        self._types = types
        row_bytes = sum(_row_bytes(spec) for spec in specs)
        self._chunk_rows = max(1, min(CHUNK_ROWS_MAX, CHUNK_BYTES // max(1, row_bytes)))
        self._row_bytes = row_bytes
        self._chunk: dict[str, Array] = {}
        self._start = self._stop = 0

    def read(self, start: int, stop: int) -> dict[str, Array]:
        """Return these rows by input; raises BadInput."""
        within_limit(stop - start, self._row_bytes)
        if start < self._start or stop > self._stop:
            self._load(start, max(stop, min(start + self._chunk_rows, self.count)))
        begin, end = start - self._start, stop - self._start
        return checked({name: array[begin:end] for name, array in self._chunk.items()}, self._specs)

    def close(self) -> None:
        """Close the database; safe to call twice."""
        self._database.close()

    def _query(self, text: str, *values: Any) -> duckdb.DuckDBPyConnection:
        return self._database.execute(text, values)

    def _load(self, start: int, stop: int) -> None:
        try:
            self._chunk = {spec.name: self._array(spec, start, stop) for spec in self._specs}
        except duckdb.Error as error:
            raise BadInput(f"the .parquet file cannot be read: {error}") from None
        self._start, self._stop = start, stop

    def _array(self, spec: TensorSpec, start: int, stop: int) -> Array:
        """Return the rows of an input, from its column of numbers or lists, or from its columns."""
        columns = self._columns[spec.name]
        parts = [self._values(column, start, stop) for column in columns]
        whole = parts[0] if len(columns) == 1 else np.stack(parts, axis=1)
        rows = stop - start
        # One size may be any, as that of a sequence: the lists say which.
        tail = [size if isinstance(size, int) else -1 for size in spec.shape[1:]]
        known = rows * math.prod(size for size in tail if size > 0)
        fits = (
            whole.size == known if -1 not in tail else tail.count(-1) == 1 and not whole.size % max(1, known)
        )
        if not fits:
            wanted = [rows, *spec.shape[1:]]
            raise BadInput(f"input {spec.name!r}: the model expects {wanted}, not {whole.size} values")
        return whole.reshape(rows, *tail)

    def _values(self, column: str, start: int, stop: int) -> Array:
        within = (
            f"(SELECT {quoted(column)} AS v, file_row_number AS n "
            "FROM read_parquet(?, file_row_number = true) "
            "WHERE file_row_number >= ? AND file_row_number < ? ORDER BY n)"
        )
        where = (self._path, start, stop)
        if not self._types[column].endswith("]"):
            return self._plain(column, self._query(f"SELECT v FROM {within}", *where))
        lengths = f"SELECT count(DISTINCT len(v)), count(*) FILTER (v IS NULL) FROM {within}"
        different, absent = self._query(lengths, *where).fetchone() or (1, 0)
        if different > 1 or absent:
            raise BadInput(f"column {column!r}: the rows must be lists of equal lengths")
        values = f"SELECT unnest(v, recursive := true) AS v FROM {within} LIMIT {VALUES_MAX + 1}"
        found = self._plain(column, self._query(values, *where))
        if len(found) > VALUES_MAX:
            raise BadInput(f"column {column!r}: {stop - start} rows have more than {VALUES_MAX} values")
        return found

    def _plain(self, column: str, found: duckdb.DuckDBPyConnection) -> Array:
        values: Any = found.fetchnumpy()["v"]
        if isinstance(values, np.ma.MaskedArray):
            if np.ma.getmaskarray(values).any():
                raise BadInput(f"column {column!r} has empty values")
            values = values.data
        return np.asarray(values)


def _columns_of(spec: TensorSpec, types: dict[str, str], inputs: int) -> list[str]:
    """Return the columns that an input is read from."""
    if spec.name in types:
        return [spec.name]
    numbers = [name for name, kind in types.items() if kind.partition("(")[0] in NUMBERS]
    if inputs == 1 and len(spec.shape) == 2 and len(numbers) == len(types) == spec.shape[1]:
        return numbers
    raise BadInput(f"the .parquet file has no column {spec.name!r}: it has {first_names(types)}")


def _row_bytes(spec: TensorSpec) -> int:
    item = 64 if spec.dtype == "str" else np.dtype(spec.dtype).itemsize
    return item * math.prod(size for size in spec.shape[1:] if isinstance(size, int))
