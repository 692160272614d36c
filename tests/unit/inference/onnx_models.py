"""Small ONNX models for tests: the kinds that people upload, and those that must not get in."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from onnx import (
    FunctionProto,
    GraphProto,
    ModelProto,
    NodeProto,
    TensorProto,
    ValueInfoProto,
    helper,
    numpy_helper,
)

F32, I64 = TensorProto.FLOAT, TensorProto.INT64
INT64_MIN = -(2**63)


def value(name: str, shape: Sequence[int | str] | None, kind: int = F32) -> ValueInfoProto:
    """Return an input or output."""
    return helper.make_tensor_value_info(name, kind, shape)


def weights(name: str, array: Any) -> TensorProto:
    """Return an initialiser."""
    return numpy_helper.from_array(np.asarray(array), name)


def model(
    nodes: Sequence[NodeProto],
    inputs: Sequence[ValueInfoProto],
    outputs: Sequence[ValueInfoProto],
    initialisers: Sequence[TensorProto] = (),
    *,
    opset: int = 17,
    domains: Sequence[str] = (),
    functions: Sequence[FunctionProto] = (),
) -> ModelProto:
    """Return a model of one graph."""
    graph: GraphProto = helper.make_graph(nodes, "graph", inputs, outputs, initialisers)
    opsets = [helper.make_opsetid("", opset), *(helper.make_opsetid(each, 1) for each in domains)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=9, functions=functions)


def linear() -> ModelProto:
    """Return y = x W: the smallest model that is right."""
    chance = np.random.default_rng(0)
    product = helper.make_node("MatMul", ["x", "w"], ["y"])
    initialisers = [weights("w", chance.standard_normal((8, 4), dtype=np.float32))]
    return model([product], [value("x", ["n", 8])], [value("y", ["n", 4])], initialisers)


def of_operator(
    name: str, outputs: Sequence[str] = ("y",), domain: str = "", **attributes: Any
) -> ModelProto:
    """Return a model of one operator on x, f32 [n, 8]."""
    node = helper.make_node(name, ["x"], list(outputs), domain=domain, **attributes)
    domains = [domain] if domain else []
    return model([node], [value("x", ["n", 8])], [value(each, ["n", 8]) for each in outputs], domains=domains)


def mobile(*, uneven: bool = False) -> ModelProto:
    """Return a net of depthwise and pointwise convolutions, image f32 [n, 3, 16, 16] to logits [n, 5].

    In an `uneven` one the depthwise filters make channels that differ by a factor of a million, and the
    pointwise ones undo that: as after folding batch normalisation into MobileNet, and one INT8 scale
    cannot hold all channels.
    """
    chance = np.random.default_rng(3)
    channels = 8
    spread = np.logspace(-3, 3, channels, dtype=np.float32) if uneven else np.ones(channels, np.float32)
    spread = spread[chance.permutation(channels)]

    def filters(*shape: int) -> Any:
        return chance.standard_normal(shape, dtype=np.float32) / np.sqrt(np.prod(shape[1:], dtype=np.float32))

    initialisers = [
        weights("stem", filters(channels, 3, 3, 3)),
        weights("depth", filters(channels, 1, 3, 3) * spread[:, None, None, None]),
        weights("point", filters(channels, channels, 1, 1) / spread[None, :, None, None]),
        weights("head", filters(channels, 5)),
        weights("bias", np.zeros(5, np.float32)),
    ]
    nodes = [
        helper.make_node("Conv", ["image", "stem"], ["a"], pads=[1, 1, 1, 1], strides=[2, 2]),
        helper.make_node("Relu", ["a"], ["b"]),
        helper.make_node("Conv", ["b", "depth"], ["c"], pads=[1, 1, 1, 1], group=channels),
        helper.make_node("Relu", ["c"], ["d"]),
        helper.make_node("Conv", ["d", "point"], ["e"]),
        helper.make_node("Relu", ["e"], ["f"]),
        helper.make_node("GlobalAveragePool", ["f"], ["g"]),
        helper.make_node("Flatten", ["g"], ["h"]),
        helper.make_node("Gemm", ["h", "head", "bias"], ["logits"]),
    ]
    return model(nodes, [value("image", ["n", 3, 16, 16])], [value("logits", ["n", 5])], initialisers)


def recurrent() -> ModelProto:
    """Return an embedding, a GRU and a linear layer: words i64 [n, 6] to scores [n, 3]."""
    chance = np.random.default_rng(4)
    hidden, width, vocabulary = 8, 6, 20

    def small(*shape: int) -> Any:
        return chance.standard_normal(shape, dtype=np.float32) * 0.4

    initialisers = [
        weights("table", small(vocabulary, width)),
        weights("w", small(1, 3 * hidden, width)),
        weights("r", small(1, 3 * hidden, hidden)),
        weights("head", small(hidden, 3)),
        weights("zero", np.array([0])),
    ]
    nodes = [
        helper.make_node("Gather", ["table", "words"], ["embedded"]),
        helper.make_node("Transpose", ["embedded"], ["steps"], perm=[1, 0, 2]),
        helper.make_node("GRU", ["steps", "w", "r"], ["", "last"], hidden_size=hidden),
        helper.make_node("Squeeze", ["last", "zero"], ["state"]),
        helper.make_node("MatMul", ["state", "head"], ["scores"]),
    ]
    return model(nodes, [value("words", ["n", 6], I64)], [value("scores", ["n", 3])], initialisers)


def forest() -> ModelProto:
    """Return two trees that classify x, f32 [n, 2]: their label and the scores."""
    return _trees(
        modes=["BRANCH_LEQ", "LEAF", "LEAF"] * 2,
        trees=[0, 0, 0, 1, 1, 1],
        ids=[0, 1, 2] * 2,
        true=[1, 0, 0] * 2,
        false=[2, 0, 0] * 2,
        features=[0, 0, 0, 1, 0, 0],
        thresholds=[0.0] * 6,
    )


def deep_tree(depth: int = 60_000) -> ModelProto:
    """Return one tree that is a chain: ONNX Runtime 1.32 adds its nodes by recursion, and its stack ends
    (signal 11)."""
    count = 2 * depth + 1
    true = [index + 2 if index % 2 == 0 and index < count - 1 else 0 for index in range(count)]
    false = [index + 1 if index % 2 == 0 and index < count - 1 else 0 for index in range(count)]
    modes = ["BRANCH_LEQ" if each else "LEAF" for each in true]
    return _trees(
        modes, [0] * count, list(range(count)), true, false, [0] * count, [float(i) for i in range(count)]
    )


def _trees(
    modes: list[str],
    trees: list[int],
    ids: list[int],
    true: list[int],
    false: list[int],
    features: list[int],
    thresholds: list[float],
) -> ModelProto:
    leaves = [(tree, node) for tree, node, mode in zip(trees, ids, modes, strict=True) if mode == "LEAF"]
    node = helper.make_node(
        "TreeEnsembleClassifier",
        ["x"],
        ["label", "scores"],
        domain="ai.onnx.ml",
        post_transform="NONE",
        nodes_treeids=trees,
        nodes_nodeids=ids,
        nodes_modes=modes,
        nodes_truenodeids=true,
        nodes_falsenodeids=false,
        nodes_featureids=features,
        nodes_values=thresholds,
        classlabels_int64s=[0, 1],
        class_treeids=[tree for tree, _ in leaves],
        class_nodeids=[leaf for _, leaf in leaves],
        class_ids=[leaf % 2 for _, leaf in leaves],
        class_weights=[1.0 + index / 8 for index in range(len(leaves))],
    )
    outputs = [value("label", ["n"], I64), value("scores", ["n", 2])]
    return model([node], [value("x", ["n", 2])], outputs, domains=["ai.onnx.ml"])


def overflow_matmul() -> ModelProto:
    """Return MatMul, Sqrt, MatMul with values above 65,504 between them: fine in FP32, infinite in FP16."""
    chance = np.random.default_rng(5)
    initialisers = [
        weights("first", np.abs(chance.standard_normal((8, 16), dtype=np.float32)) * 20_000),
        weights("second", chance.standard_normal((16, 4), dtype=np.float32) * 0.001),
    ]
    nodes = [
        helper.make_node("Abs", ["x"], ["positive"]),
        helper.make_node("MatMul", ["positive", "first"], ["large"]),
        helper.make_node("Sqrt", ["large"], ["root"]),
        helper.make_node("MatMul", ["root", "second"], ["y"]),
    ]
    return model(nodes, [value("x", ["n", 8])], [value("y", ["n", 4])], initialisers)


def overflow_conv() -> ModelProto:
    """Return Conv, Relu, Conv with values above 65,504 between them."""
    chance = np.random.default_rng(6)
    initialisers = [
        weights("first", chance.standard_normal((4, 1, 3, 3), dtype=np.float32) * 40_000 / 3),
        weights("second", chance.standard_normal((2, 4, 3, 3), dtype=np.float32) * 1e-4),
    ]
    nodes = [
        helper.make_node("Conv", ["image", "first"], ["large"]),
        helper.make_node("Relu", ["large"], ["positive"]),
        helper.make_node("Conv", ["positive", "second"], ["y"]),
    ]
    return model(nodes, [value("image", ["n", 1, 8, 8])], [value("y", ["n", 2, 4, 4])], initialisers)


def fixed_inside() -> ModelProto:
    """Return a model whose batch axis has a name, and that reshapes to one row: axes that lie."""
    nodes = [
        helper.make_node("Reshape", ["x", "shape"], ["flat"]),
        helper.make_node("ReduceMean", ["flat"], ["y"], axes=[1], keepdims=1),
    ]
    return model(nodes, [value("x", ["n", 8])], [value("y", ["n", 1])], [weights("shape", np.array([1, -1]))])


def eight_values_only() -> ModelProto:
    """Return a model whose batch axis has a name, and that cannot run more than one row."""
    nodes = [
        helper.make_node("Reshape", ["x", "shape"], ["row"]),
        helper.make_node("Relu", ["row"], ["y"]),
    ]
    return model(nodes, [value("x", ["n", 8])], [value("y", ["n", 8])], [weights("shape", np.array([1, 8]))])


def rows_together() -> ModelProto:
    """Return a model that normalises over the batch, so that rows change each other."""
    nodes = [helper.make_node("Softmax", ["x"], ["y"], axis=0)]
    return model(nodes, [value("x", ["n", 8])], [value("y", ["n", 8])])


def divides_lowest(divisor: float = -1.0) -> ModelProto:
    """Return a model that divides the lowest integer by floor(divisor + 0 x): by -1 the CPU raises signal 8.

    A `divisor` of -1.0004 is -2 after rounding down, and -1 in FP16, where the same model kills the runtime.
    """
    nodes = [
        helper.make_node("Mul", ["x", "nothing"], ["zero"]),
        helper.make_node("Add", ["zero", "divisor"], ["by"]),
        helper.make_node("Floor", ["by"], ["whole"]),
        helper.make_node("Cast", ["whole"], ["integer"], to=I64),
        helper.make_node("Div", ["lowest", "integer"], ["quotient"]),
        helper.make_node("Cast", ["quotient"], ["y"], to=F32),
    ]
    initialisers = [
        weights("nothing", np.float32(0)),
        weights("divisor", np.float32(divisor)),
        weights("lowest", np.array([INT64_MIN])),
    ]
    return model(nodes, [value("x", ["n", 8])], [value("y", ["n", 8])], initialisers)


def endless() -> ModelProto:
    """Return a loop of as many rounds as 64 bits can count."""
    body = helper.make_graph(
        [helper.make_node("Identity", ["go"], ["on"]), helper.make_node("Add", ["old", "x"], ["new"])],
        "body",
        [value("round", [], I64), value("go", [], TensorProto.BOOL), value("old", None)],
        [value("on", [], TensorProto.BOOL), value("new", None)],
    )
    nodes = [helper.make_node("Loop", ["rounds", "yes", "x"], ["y"], body=body)]
    initialisers = [weights("rounds", np.array(2**62)), weights("yes", np.array(True))]
    return model(nodes, [value("x", ["n", 8])], [value("y", ["n", 8])], initialisers)


def grows(elements: int) -> ModelProto:
    """Return a model that makes a tensor of so many elements, a size that no shape tells beforehand."""
    nodes = [
        helper.make_node("Mul", ["x", "nothing"], ["zero"]),
        helper.make_node("ReduceSum", ["zero"], ["sum"], keepdims=1),
        helper.make_node("Cast", ["sum"], ["none"], to=I64),
        helper.make_node("Add", ["none", "elements"], ["many"]),
        helper.make_node("Reshape", ["many", "line"], ["shape"]),
        helper.make_node(
            "ConstantOfShape", ["shape"], ["large"], value=weights("one", np.ones(1, np.float32))
        ),
        helper.make_node("ReduceSum", ["large"], ["total"], keepdims=0),
        helper.make_node("Add", ["x", "total"], ["y"]),
    ]
    initialisers = [
        weights("nothing", np.float32(0)),
        weights("elements", np.array(elements)),
        weights("line", np.array([1])),
    ]
    return model(nodes, [value("x", ["n", 8])], [value("y", ["n", 8])], initialisers)


def undefined_inside() -> ModelProto:
    """Return a model with NaN inside, which it replaces: its outputs are fine, and calibrating it fails."""
    chance = np.random.default_rng(7)
    nodes = [
        helper.make_node("MatMul", ["x", "w"], ["a"]),
        helper.make_node("Abs", ["a"], ["positive"]),
        helper.make_node("Sub", ["minus_one", "positive"], ["negative"]),
        helper.make_node("Sqrt", ["negative"], ["root"]),
        helper.make_node("IsNaN", ["root"], ["undefined"]),
        helper.make_node("Where", ["undefined", "a", "root"], ["defined"]),
        helper.make_node("MatMul", ["defined", "v"], ["y"]),
    ]
    initialisers = [
        weights("w", chance.standard_normal((8, 16), dtype=np.float32)),
        weights("v", chance.standard_normal((16, 4), dtype=np.float32)),
        weights("minus_one", np.float32(-1)),
    ]
    return model(nodes, [value("x", ["n", 8])], [value("y", ["n", 4])], initialisers)


def masked() -> ModelProto:
    """Return a model that adds minus infinity before a softmax, as attention masks do: FP16 has it, no INT8
    scale does."""
    chance = np.random.default_rng(7)
    mask = np.zeros(8, np.float32)
    mask[5:] = -np.inf
    initialisers = [
        weights("w", chance.standard_normal((8, 8), dtype=np.float32)),
        weights("mask", mask),
        weights("v", chance.standard_normal((8, 4), dtype=np.float32)),
    ]
    nodes = [
        helper.make_node("MatMul", ["x", "w"], ["scores"]),
        helper.make_node("Add", ["scores", "mask"], ["kept"]),
        helper.make_node("Softmax", ["kept"], ["shares"]),
        helper.make_node("MatMul", ["shares", "v"], ["y"]),
    ]
    return model(nodes, [value("x", ["n", 8])], [value("y", ["n", 4])], initialisers)
