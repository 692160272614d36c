"""A transformer with random weights, for what depends on its size alone: speed, and memory of a judgement."""

from __future__ import annotations

from typing import Any

import numpy as np
from onnx import ModelProto, NodeProto, TensorProto, helper, numpy_helper

TOKENS = 128
HIDDEN = 384
LAYERS = 6
HEADS = 12
FEED_FORWARD = 4


def transformer(
    layers: int = LAYERS, hidden: int = HIDDEN, heads: int = HEADS, tokens: int = TOKENS
) -> ModelProto:
    """Return an encoder: x [batch, tokens, hidden] to y of the same shape; 43 MB of weights by default."""
    graph = _Graph(hidden)
    x = "x"
    for layer in range(layers):
        attended = graph.attention(f"a{layer}", x, heads, tokens)
        x = graph.normed(f"n{layer}", graph.node("Add", [x, attended]))
        forward = graph.forward(f"f{layer}", x)
        x = graph.normed(f"m{layer}", graph.node("Add", [x, forward]))
    graph.nodes[-1].output[0] = "y"
    shape: list[str | int | None] = ["batch", tokens, hidden]
    ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name in ("x", "y")]
    made = helper.make_graph(graph.nodes, "made", ends[:1], ends[1:], graph.weights)
    return helper.make_model(made, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)


class _Graph:
    """The nodes so far, and their weights; chance has a fixed seed."""

    def __init__(self, hidden: int) -> None:
        self.hidden = hidden
        self.nodes: list[NodeProto] = []
        self.weights: list[TensorProto] = []
        self._chance = np.random.default_rng(0)

    def node(self, kind: str, inputs: list[str], **attributes: Any) -> str:
        """Add a node; return its output."""
        output = f"t{len(self.nodes)}"
        self.nodes.append(helper.make_node(kind, inputs, [output], **attributes))
        return output

    def constant(self, name: str, array: np.ndarray) -> str:
        self.weights.append(numpy_helper.from_array(array, name))
        return name

    def linear(self, name: str, x: str, rows: int, columns: int) -> str:
        weights = self._chance.standard_normal((rows, columns), np.float32) / np.float32(np.sqrt(rows))
        product = self.node("MatMul", [x, self.constant(f"{name}.w", weights)])
        return self.node("Add", [product, self.constant(f"{name}.b", np.zeros(columns, np.float32))])

    def normed(self, name: str, x: str) -> str:
        scale = self.constant(f"{name}.scale", np.ones(self.hidden, np.float32))
        bias = self.constant(f"{name}.bias", np.zeros(self.hidden, np.float32))
        return self.node("LayerNormalization", [x, scale, bias], axis=-1)

    def attention(self, name: str, x: str, heads: int, tokens: int) -> str:
        width = self.hidden // heads
        split = self.constant(f"{name}.split", np.array([0, tokens, heads, width], np.int64))
        q, k, v = (
            self.node("Reshape", [self.linear(f"{name}.{part}", x, self.hidden, self.hidden), split])
            for part in "qkv"
        )
        q = self.node("Transpose", [q], perm=[0, 2, 1, 3])
        k = self.node("Transpose", [k], perm=[0, 2, 3, 1])
        v = self.node("Transpose", [v], perm=[0, 2, 1, 3])
        scale = self.constant(f"{name}.scale", np.array(width**-0.5, np.float32))
        scores = self.node("Softmax", [self.node("Mul", [self.node("MatMul", [q, k]), scale])], axis=-1)
        joined = self.node("Transpose", [self.node("MatMul", [scores, v])], perm=[0, 2, 1, 3])
        whole = self.constant(f"{name}.whole", np.array([0, tokens, self.hidden], np.int64))
        return self.linear(f"{name}.o", self.node("Reshape", [joined, whole]), self.hidden, self.hidden)

    def forward(self, name: str, x: str) -> str:
        wide = self.linear(f"{name}.up", x, self.hidden, FEED_FORWARD * self.hidden)
        return self.linear(f"{name}.down", self.node("Relu", [wide]), FEED_FORWARD * self.hidden, self.hidden)
