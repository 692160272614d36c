"""The rows of a file of JSON lines; where every so-many-th line begins is noted in a first pass."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import orjson

from helix_ray.inference.errors import BadInput
from helix_ray.inference.rows import within_limit
from helix_ray.inference.tensors import Array, TensorSpec, checked

LINE_BYTES_MAX = 16 << 20
TEXT_BYTES_MAX = 128 << 20
"""Most text of one batch: its values are objects of some twenty times its size, until they are an array."""

MARK_EVERY_LINES = 1024


class LineRows:
    """Rows of a file with a JSON value on each line."""

    def __init__(self, path: Path, specs: Sequence[TensorSpec]) -> None:
        self._specs = specs
        self._file = path.open("rb")
        self._marks: list[int] = []
        self.count = 0
        self._longest = 0
        try:
            self._count_lines()
        except BadInput:
            self._file.close()
            raise
        self._at = self.count

    def read(self, start: int, stop: int) -> dict[str, Array]:
        """Return these rows by input; raises BadInput, which names the line."""
        self._go_to(start)
        within_limit(stop - start, self._longest)
        values: dict[str, list[Any]] = {spec.name: [] for spec in self._specs}
        left = TEXT_BYTES_MAX
        for number in range(start, stop):
            line = self._file.readline()
            left -= len(line)
            if left < 0:
                message = f"lines {start + 1} to {number + 1} have more than {TEXT_BYTES_MAX} bytes"
                raise BadInput(f"{message}: ask for a smaller batch_size")
            row = self._row(line, number)
            for name, column in values.items():
                column.append(row[name])
        self._at = stop
        return checked({name: _array(name, column) for name, column in values.items()}, self._specs)

    def close(self) -> None:
        """Close the file; safe to call twice."""
        self._file.close()

    def _count_lines(self) -> None:
        at = 0
        while line := self._file.readline(LINE_BYTES_MAX + 1):
            if len(line) > LINE_BYTES_MAX:
                raise BadInput(f"line {self.count + 1} has more than {LINE_BYTES_MAX} bytes")
            if not self.count % MARK_EVERY_LINES:
                self._marks.append(at)
            at += len(line)
            self._longest = max(self._longest, len(line))
            self.count += 1

    def _go_to(self, row: int) -> None:
        if row == self._at:
            return
        mark = row // MARK_EVERY_LINES
        self._file.seek(self._marks[mark] if mark < len(self._marks) else 0)
        for _ in range(row - mark * MARK_EVERY_LINES):
            self._file.readline()

    def _row(self, line: bytes, number: int) -> Mapping[str, Any]:
        try:
            value = orjson.loads(line)
        except orjson.JSONDecodeError as error:
            raise BadInput(f"line {number + 1} is not valid JSON: {error}") from None
        if not isinstance(value, dict):
            if len(self._specs) != 1:
                raise BadInput(f"line {number + 1} must be an object with a value for each input")
            return {self._specs[0].name: value}
        if missing := [spec.name for spec in self._specs if spec.name not in value]:
            raise BadInput(f"line {number + 1} has no value for input {missing[0]!r}")
        return value


def _array(name: str, column: list[Any]) -> Array:
    try:
        return np.asarray(column)
    except (ValueError, OverflowError):
        raise BadInput(f"input {name!r}: the rows must be lists of equal lengths") from None
