"""Small models of our own, written as graphs: their files are a few kB unless a size is asked for."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper


def matmul(side: int, seed: int = 0) -> onnx.ModelProto:
    """One product with a matrix of `side` x `side` weights: x [batch, side] to y [batch, side]."""
    weights = np.random.default_rng(seed).standard_normal((side, side), dtype=np.float32)
    nodes = [helper.make_node("MatMul", ["x", "w"], ["y"], name="product")]
    return _model(nodes, ["batch", side], ["batch", side], {"w": weights})


def doubling(batch: int | str = "batch") -> onnx.ModelProto:
    """x [batch, 8] to 2 x: too little work for any variant to win."""
    nodes = [helper.make_node("Add", ["x", "x"], ["y"], name="sum")]
    return _model(nodes, [batch, 8], [batch, 8], {})


def times(factor: float) -> onnx.ModelProto:
    """x [batch, 2] to `factor` x."""
    nodes = [helper.make_node("Mul", ["x", "f"], ["y"], name="product")]
    return _model(nodes, ["batch", 2], ["batch", 2], {"f": np.array([factor], np.float32)})


def _model(
    nodes: list[onnx.NodeProto],
    inputs: list[str | int],
    outputs: list[str | int],
    weights: dict[str, np.ndarray],
) -> onnx.ModelProto:
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, inputs)
    y = helper.make_tensor_value_info("y", TensorProto.FLOAT, outputs)
    initializers = [numpy_helper.from_array(array, name) for name, array in weights.items()]
    graph = helper.make_graph(nodes, "small", [x], [y], initializers)
    opset = [helper.make_opsetid("", 17)]
    model = helper.make_model(graph, opset_imports=opset, ir_version=8)
    onnx.checker.check_model(model)
    return model


def save(model: onnx.ModelProto, path: Path) -> bytes:
    """Write a model, and return its contents."""
    data: bytes = model.SerializeToString()
    path.write_bytes(data)
    return data
