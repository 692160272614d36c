"""An inference that never ends: its model is written byte by byte, so that no library is needed to build it.

Field numbers are those of onnx.proto.
"""

from __future__ import annotations

import struct
from pathlib import Path

from helix_ray.inference.onnx import DEFAULT_ROOT

OPSET = 17
FLOAT, INT64, BOOL = 1, 7, 9
GRAPH_ATTRIBUTE = 5


NAME = "endless"
ENDLESS = {"kind": "inference", "model": NAME, "inputs": [1.0]}


def models_with_endless(folder: Path) -> Path:
    """Return the folder `models` below `folder`, with the shipped models and the endless one."""
    models = folder / "models"
    if not models.exists():
        models.mkdir()
        for shipped in DEFAULT_ROOT.glob("*.onnx"):
            (models / shipped.name).symlink_to(shipped)
        (models / f"{NAME}.onnx").write_bytes(endless_model())
    return models


def endless_model() -> bytes:
    """Return `x` f32 [1] -> `y` f32 [1] in ONNX: a Loop of 2^62 rounds that copies x."""
    body = _graph(
        nodes=[_node("Identity", ["go"], ["go_on"]), _node("Identity", ["before"], ["after"])],
        inputs=[_value("round", INT64), _value("go", BOOL), _value("before", FLOAT, 1)],
        outputs=[_value("go_on", BOOL), _value("after", FLOAT, 1)],
    )
    graph = _graph(
        nodes=[_node("Loop", ["rounds", "always", "x"], ["y"], body)],
        inputs=[_value("x", FLOAT, 1)],
        outputs=[_value("y", FLOAT, 1)],
        constants=[
            _constant("rounds", INT64, struct.pack("<q", 2**62)),
            _constant("always", BOOL, struct.pack("<?", True)),
        ],
    )
    # ModelProto: ir_version, opset_import { version }, graph.
    return _number(1, 8) + _bytes(8, _number(2, OPSET)) + _bytes(7, graph)


def _graph(
    *, nodes: list[bytes], inputs: list[bytes], outputs: list[bytes], constants: list[bytes] | None = None
) -> bytes:
    fields = [(1, node) for node in nodes] + [(2, b"graph")] + [(5, each) for each in constants or ()]
    fields += [(11, value) for value in inputs] + [(12, value) for value in outputs]
    return b"".join(_bytes(number, data) for number, data in fields)


def _node(kind: str, inputs: list[str], outputs: list[str], body: bytes | None = None) -> bytes:
    fields = [(1, name.encode()) for name in inputs] + [(2, name.encode()) for name in outputs]
    node = b"".join(_bytes(number, data) for number, data in fields) + _bytes(4, kind.encode())
    if body is not None:
        # AttributeProto: name, g, type.
        node += _bytes(5, _bytes(1, b"body") + _bytes(6, body) + _number(20, GRAPH_ATTRIBUTE))
    return node


def _value(name: str, kind: int, *dims: int) -> bytes:
    # ValueInfoProto: name, type { tensor_type { elem_type, shape { dim { dim_value } } } }.
    shape = b"".join(_bytes(1, _number(1, dim)) for dim in dims)
    return _bytes(1, name.encode()) + _bytes(2, _bytes(1, _number(1, kind) + _bytes(2, shape)))


def _constant(name: str, kind: int, raw: bytes) -> bytes:
    # TensorProto of a scalar: data_type, name, raw_data.
    return _number(2, kind) + _bytes(8, name.encode()) + _bytes(9, raw)


def _number(field: int, value: int) -> bytes:
    return _varint(field << 3) + _varint(value)


def _bytes(field: int, data: bytes) -> bytes:
    return _varint(field << 3 | 2) + _varint(len(data)) + data


def _varint(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes((*out, value))
