"""The inputs of a model as a request carries them, and their rows: for each shard of a task its own range.

Inputs are one value, or an object with a value for each input of the model. A value is nested lists, or a
.npy file in base64 (`{"npy_base64": text}`). Its first axis counts rows. Only the header of a .npy is read,
so that rows are cut out of it as bytes.
"""

from __future__ import annotations

import ast
import base64
import binascii
import math
import re
import struct
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

NPY = "npy_base64"
MAGIC = b"\x93NUMPY"
HEADER_BYTES_MAX = 10_000
# Of base64 that has at least so many bytes; whole groups of four.
HEADER_CHARS_MAX = 16_000
ALIGNED_BYTES = 64
# Bytes of one element, by the number behind its kind: "<f4", "|b1", "<U5".
_ELEMENT = re.compile(r"[<>|=]([biufcSU?])(\d{1,9})")
_UCS4_BYTES = 4


class NotSplittable(ValueError):
    """Inputs that have no rows to give to shards; the message says which and why."""


class _File(NamedTuple):
    """A .npy file: its element type, shape, and data in C order."""

    descr: str
    shape: tuple[int, ...]
    data: memoryview


def row_range(rows: int, index: int, count: int) -> tuple[int, int]:
    """Return the rows of shard `index` of `count`, as start and stop: contiguous, in order, and of sizes that
    differ by at most one."""
    return rows * index // count, rows * (index + 1) // count


def row_count(inputs: Any) -> int:
    """Return the number of rows, in which all inputs must agree; raises NotSplittable."""
    counts = {name: _rows_of(value, name) for name, value in _named(inputs).items()}
    if len(set(counts.values())) != 1:
        listed = ", ".join(f"{name} has {count}" for name, count in counts.items()) or "there are none"
        raise NotSplittable(f"all inputs must have the same number of rows: {listed}")
    return next(iter(counts.values()))


def split(inputs: Any, count: int) -> Iterator[Any]:
    """Yield the inputs of each of `count` shards in order, in the form in which they came; raises
    NotSplittable."""
    rows = row_count(inputs)
    if rows < count:
        raise NotSplittable(f"{rows} rows cannot be split into {count} shards")
    values = {name: _opened(value) for name, value in _named(inputs).items()}
    single = _is_single(inputs)
    for index in range(count):
        start, stop = row_range(rows, index, count)
        cut = {name: _cut(value, start, stop) for name, value in values.items()}
        yield next(iter(cut.values())) if single else cut


def _is_single(inputs: Any) -> bool:
    return not isinstance(inputs, dict) or set(inputs) == {NPY}


def _named(inputs: Any) -> Mapping[str, Any]:
    return {"the input": inputs} if _is_single(inputs) else inputs


def _rows_of(value: Any, name: str) -> int:
    try:
        if isinstance(value, list | tuple):
            return len(value)
        if isinstance(value, dict) and set(value) == {NPY}:
            return _read(value[NPY]).shape[0]
    except NotSplittable as error:
        raise NotSplittable(f"{name}: {error}") from None
    raise NotSplittable(f"{name}: it has no rows: it must be a list or a .npy file")


def _opened(value: Any) -> Any:
    """Return lists as they are, and a .npy file decoded."""
    return _read(value[NPY]) if isinstance(value, dict) else value


def _cut(value: Any, start: int, stop: int) -> Any:
    if not isinstance(value, _File):
        return value[start:stop]
    row_bytes = len(value.data) // value.shape[0]
    part = value.data[start * row_bytes : stop * row_bytes]
    whole = _header(value.descr, (stop - start, *value.shape[1:])) + part
    return {NPY: base64.b64encode(whole).decode()}


def header_of(text: Any) -> tuple[Any, tuple[int, ...]]:
    """Return the element type and the shape of a .npy file in base64, whose values are not read; raises
    NotSplittable."""
    descr, shape, _, _ = _fields(_decoded(text[:HEADER_CHARS_MAX] if isinstance(text, str) else text))
    return descr, shape


def _decoded(text: Any) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except (TypeError, ValueError, binascii.Error):
        raise NotSplittable("npy_base64 is not valid base64") from None


def _fields(data: bytes) -> tuple[Any, tuple[int, ...], bool, int]:
    """Return the element type, the shape, whether it is in Fortran order, and where the data begins."""
    header, begin = _header_text(data)
    try:
        fields = ast.literal_eval(header)
        descr, shape, fortran = fields["descr"], fields["shape"], fields["fortran_order"]
    except (ValueError, SyntaxError, TypeError, KeyError, MemoryError, RecursionError):
        raise NotSplittable("the .npy header cannot be read") from None
    if not isinstance(shape, tuple) or not all(type(size) is int and size >= 0 for size in shape):
        raise NotSplittable("the .npy header cannot be read")
    return descr, shape, bool(fortran), begin


def _read(text: Any) -> _File:
    data = _decoded(text)
    descr, shape, fortran, begin = _fields(data)
    if not shape:
        raise NotSplittable("it is a single value, which has no rows")
    if fortran and len(shape) > 1:
        raise NotSplittable(
            "it was saved in Fortran order: save numpy.ascontiguousarray(array), which keeps rows together"
        )
    if math.prod(shape) * _element_bytes(descr) != len(data) - begin:
        raise NotSplittable(f"the .npy header says {shape} of {descr}, but the data has another size")
    return _File(descr, shape, memoryview(data)[begin:])


def _header_text(data: bytes) -> tuple[str, int]:
    """Return the header of a .npy file, and where the data begins (numpy.lib.format, versions 1 to 3)."""
    if not data.startswith(MAGIC) or len(data) < 12:
        raise NotSplittable("it is not a .npy file")
    wide = data[6] > 1
    (length,) = struct.unpack_from("<I" if wide else "<H", data, 8)
    begin = (12 if wide else 10) + length
    if length > HEADER_BYTES_MAX or begin > len(data):
        raise NotSplittable("the .npy header cannot be read")
    return data[begin - length : begin].decode("latin-1"), begin


def _element_bytes(descr: Any) -> int:
    found = _ELEMENT.fullmatch(descr) if isinstance(descr, str) else None
    if found is None:
        raise NotSplittable(f"a .npy file of {descr} has no rows of numbers or texts")
    kind, size = found.groups()
    return int(size) * (_UCS4_BYTES if kind == "U" else 1)


def _header(descr: str, shape: tuple[int, ...]) -> bytes:
    fields = f"{{'descr': '{descr}', 'fortran_order': False, 'shape': {shape}, }}".encode()
    padding = -(len(MAGIC) + 4 + len(fields) + 1) % ALIGNED_BYTES
    fields += b" " * padding + b"\n"
    return MAGIC + b"\x01\x00" + struct.pack("<H", len(fields)) + fields
