"""Small models of digits of other kinds than the package has: depthwise convolutions, a GRU, a forest.

The features of the first two are made by chance, with fixed seeds; their last layer is fitted by least
squares to the rows that are given, as the trees of the forest are. They are right for nine of ten digits.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx import ModelProto, NodeProto, TensorProto, helper, numpy_helper

CLASSES = 10
RIDGE = 1e-2
HIDDEN = 192
TREES = 40
DEPTH = 8
FEATURES_TRIED = 10
OPSETS = (helper.make_opsetid("", 17), helper.make_opsetid("ai.onnx.ml", 1))

Array = NDArray[Any]


def mobile(images: Array, labels: Array) -> ModelProto:
    """Return a net of depthwise and pointwise convolutions with ReLU6: image [n, 1, 32, 32] to logits."""
    made = _Graph("image", ["n", 1, 32, 32])
    made.weight("low", np.array(0.0))
    made.weight("high", np.array(6.0))
    first = made.weight("first", made.chance.standard_normal((32, 1, 3, 3)) * 0.5)
    x = made.node("Conv", ["image", first], pads=[1] * 4, strides=[2, 2])
    x = made.node("Clip", [x, "low", "high"])
    for layer, (before, after, stride) in enumerate(((32, 64, 1), (64, 128, 2))):
        depthwise = made.weight(f"d{layer}", made.chance.standard_normal((before, 1, 3, 3)) * 0.5)
        pointwise = made.weight(
            f"p{layer}", made.chance.standard_normal((after, before, 1, 1)) * np.sqrt(2 / before)
        )
        x = made.node("Conv", [x, depthwise], pads=[1] * 4, group=before, strides=[stride] * 2)
        x = made.node("Clip", [made.node("Conv", [x, pointwise]), "low", "high"])
    x = made.node("AveragePool", [x], kernel_shape=[2, 2], strides=[2, 2])
    return made.fitted(made.node("Flatten", [x]), images, labels)


def recurrent(rows: Array, labels: Array) -> ModelProto:
    """Return a GRU that reads a digit row by row: rows [n, 8, 8] to logits."""
    made = _Graph("rows", ["n", 8, 8])
    inner = np.linalg.qr(made.chance.standard_normal((3 * HIDDEN, HIDDEN)))[0][None] * 1.2
    weights = [
        made.weight("w", made.chance.standard_normal((1, 3 * HIDDEN, 8)) * 0.7),
        made.weight("r", inner),
    ]
    by_time = made.node("Transpose", ["rows"], perm=[1, 0, 2])
    made.nodes.append(helper.make_node("GRU", [by_time, *weights], ["", "last"], hidden_size=HIDDEN))
    made.weights.append(numpy_helper.from_array(np.array([0]), "zero"))
    return made.fitted(made.node("Squeeze", ["last", "zero"]), rows, labels)


def forest(pixels: Array, labels: Array) -> ModelProto:
    """Return a random forest as scikit-learn is converted: pixels [n, 64] to label and probabilities."""
    trees = _Trees(np.random.default_rng(0))
    for _ in range(TREES):
        chosen = trees.chance.choice(len(pixels), len(pixels))
        trees.plant(pixels[chosen], labels[chosen])
    outputs = [
        helper.make_tensor_value_info("label", TensorProto.INT64, ["n"]),
        helper.make_tensor_value_info("probabilities", TensorProto.FLOAT, ["n", CLASSES]),
    ]
    node = helper.make_node(
        "TreeEnsembleClassifier", ["pixels"], ["label", "probabilities"], domain="ai.onnx.ml",
        classlabels_int64s=list(range(CLASSES)), post_transform="NONE",
    )  # fmt: skip
    node.attribute.extend(helper.make_attribute(name, values) for name, values in trees.table.items())
    return _model([node], "pixels", ["n", 64], outputs, [])


class _Graph:
    """The nodes and weights so far of a net with one input; chance has a fixed seed."""

    def __init__(self, name: str, shape: list[str | int]) -> None:
        self.name, self.shape = name, shape
        self.nodes: list[NodeProto] = []
        self.weights: list[TensorProto] = []
        self.chance = np.random.default_rng(0)

    def node(self, kind: str, inputs: list[str], **attributes: Any) -> str:
        """Add a node; return its output."""
        output = f"t{len(self.nodes)}"
        self.nodes.append(helper.make_node(kind, inputs, [output], **attributes))
        return output

    def weight(self, name: str, array: Array) -> str:
        """Add a weight; return its name."""
        self.weights.append(numpy_helper.from_array(array.astype(np.float32), name))
        return name

    def fitted(self, features: str, rows: Array, labels: Array) -> ModelProto:
        """Return the model with a last layer that is fitted to these rows."""
        import onnxruntime

        whole = self._ending(features, "features")
        session = onnxruntime.InferenceSession(whole.SerializeToString(), providers=["CPUExecutionProvider"])
        found = session.run(None, {self.name: rows})[0]
        known = np.c_[found, np.ones(len(found))]
        wanted = np.eye(CLASSES)[labels]
        last = np.linalg.solve(known.T @ known + RIDGE * np.eye(known.shape[1]), known.T @ wanted)
        head = [features, self.weight("head", last[:-1]), self.weight("bias", last[-1])]
        self.nodes.append(helper.make_node("Gemm", head, ["logits"]))
        return self._ending("logits", CLASSES)

    def _ending(self, output: str, width: str | int) -> ModelProto:
        ends = [helper.make_tensor_value_info(output, TensorProto.FLOAT, ["n", width])]
        return _model(self.nodes, self.name, self.shape, ends, self.weights)


@dataclass(slots=True)
class _Trees:
    """Trees in the columns of the operator, grown by the impurity of a few features at each node."""

    chance: np.random.Generator
    table: dict[str, list[Any]] = field(
        default_factory=lambda: {
            f"{kind}_{name}": []
            for kind, names in {
                "nodes": "treeids nodeids featureids values modes truenodeids falsenodeids",
                "class": "treeids nodeids ids weights",
            }.items()
            for name in names.split()
        }
    )
    planted: int = 0
    _nodes: int = 0

    def plant(self, rows: Array, labels: Array) -> None:
        """Add a tree."""
        self._nodes = 0
        self._grow(rows, labels, DEPTH)
        self.planted += 1

    def _grow(self, rows: Array, labels: Array, depth: int) -> int:
        number, at = self._nodes, len(self.table["nodes_modes"])
        self._nodes += 1
        self._add("nodes", (self.planted, number, 0, 0.0, "LEAF", 0, 0))
        split = self._split(rows, labels) if depth else None
        if split is None:
            for label, count in enumerate(np.bincount(labels, minlength=CLASSES)):
                if count:
                    share = float(count) / len(labels) / TREES
                    self._add("class", (self.planted, number, label, share))
            return number
        feature, limit = split
        left = rows[:, feature] <= limit
        below = self._grow(rows[left], labels[left], depth - 1)
        above = self._grow(rows[~left], labels[~left], depth - 1)
        values = (self.planted, number, feature, limit, "BRANCH_LEQ", below, above)
        for name, value in zip(self._columns("nodes"), values, strict=True):
            self.table[name][at] = value
        return number

    def _split(self, rows: Array, labels: Array) -> tuple[int, float] | None:
        """Return the feature and limit that part the labels best; None where nothing is to be parted."""
        best: tuple[float, int, float] | None = None
        if len(np.unique(labels)) == 1:
            return None
        for feature in self.chance.choice(rows.shape[1], FEATURES_TRIED, replace=False):
            values = np.unique(rows[:, feature])
            for limit in (values[:-1] + values[1:]) / 2:
                left = rows[:, feature] <= limit
                found = _impurity(labels[left]) + _impurity(labels[~left])
                if best is None or found < best[0]:
                    best = (found, int(feature), float(limit))
        return None if best is None else best[1:]

    def _add(self, kind: str, values: tuple[Any, ...]) -> None:
        for name, value in zip(self._columns(kind), values, strict=True):
            self.table[name].append(value)

    def _columns(self, kind: str) -> list[str]:
        return [name for name in self.table if name.startswith(f"{kind}_")]


def _impurity(labels: Array) -> float:
    counts = np.bincount(labels, minlength=CLASSES)
    return float(len(labels) - (counts**2).sum() / len(labels))


def _model(
    nodes: list[NodeProto],
    name: str,
    shape: list[str | int],
    outputs: list[Any],
    weights: list[TensorProto],
) -> ModelProto:
    ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)]
    graph = helper.make_graph(nodes, "made", ends, outputs, weights)
    return helper.make_model(graph, opset_imports=OPSETS, ir_version=8)
