"""Reads what a model file says about its weights from the protobuf, without loading the model.

Field numbers are those of onnx.proto: ModelProto.graph = 7; GraphProto.initializer = 5; TensorProto.dims = 1,
data_type = 2, name = 8, data_location = 14 (1 is EXTERNAL).
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TypeAlias

from helix_ray.inference.errors import BadModelFile

_PRECISIONS = {1: "fp32", 2: "int8", 3: "int8", 10: "fp16", 11: "fp64", 16: "bf16", 21: "int4", 22: "int4"}
"""TensorProto.DataType to the name of the precision, for the types that weights have."""

_BITS = {1: 32, 2: 8, 3: 8, 10: 16, 11: 64, 16: 16, 21: 4, 22: 4}

_Field: TypeAlias = tuple[
    int, int, memoryview
]  # number, value of a varint, bytes of a length-delimited field
_NOTHING = memoryview(b"")


@dataclass(frozen=True, slots=True)
class Weights:
    """`precision` is how most of the weights (by size) are stored, None for a model without weights;
    `external` are the names of tensors in other files."""

    precision: str | None
    external: tuple[str, ...]


def scan(model: bytes) -> Weights:
    """Return a summary of the model's initialisers; raises BadModelFile."""
    bits: Counter[str] = Counter()
    external: list[str] = []
    for graph in _messages(memoryview(model), 7):
        for tensor in _messages(graph, 5):
            kind, elements, name, outside = _tensor(tensor)
            if kind in _PRECISIONS:
                bits[_PRECISIONS[kind]] += _BITS[kind] * elements
            if outside:
                external.append(name)
    most = bits.most_common(1)
    return Weights(most[0][0] if most else None, tuple(external))


def _tensor(tensor: memoryview) -> tuple[int, int, str, bool]:
    kind, name, outside = 0, "", False
    dims: list[int] = []
    for number, value, data in _fields(tensor):
        if number == 1:
            dims += _varints(data) if data else [value]
        elif number == 2:
            kind = value
        elif number == 8:
            name = str(data, "utf-8", "replace")
        elif number == 14:
            outside = value == 1
    return kind, math.prod(dims), name, outside


def _messages(message: memoryview, wanted: int) -> Iterator[memoryview]:
    return (data for number, _, data in _fields(message) if number == wanted)


def _fields(message: memoryview) -> Iterator[_Field]:
    """Yield the fields of one message (protobuf.dev, encoding: wire types 0, 1, 2 and 5)."""
    at = 0
    while at < len(message):
        key, at = _varint(message, at)
        number, wire = key >> 3, key & 7
        if wire == 0:
            value, at = _varint(message, at)
            yield number, value, _NOTHING
            continue
        if wire == 2:
            length, at = _varint(message, at)
        elif wire in (1, 5):
            length = 8 if wire == 1 else 4
        else:
            raise BadModelFile(f"not an ONNX model: wire type {wire}")
        if at + length > len(message):
            raise BadModelFile("not an ONNX model: it ends too early")
        yield number, 0, message[at : at + length] if wire == 2 else _NOTHING
        at += length


def _varint(data: memoryview, at: int) -> tuple[int, int]:
    value = 0
    for shift in range(0, 70, 7):
        if at >= len(data):
            raise BadModelFile("not an ONNX model: it ends too early")
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
    raise BadModelFile("not an ONNX model: a number of more than 10 bytes")


def _varints(data: memoryview) -> list[int]:
    values, at = [], 0
    while at < len(data):
        value, at = _varint(data, at)
        values.append(value)
    return values
