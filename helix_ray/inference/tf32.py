"""TF32 on a CPU: what a GPU's tensor cores do to the inputs of matrix products, written as operators.

TF32 keeps 11 of the 24 significant bits of an FP32 number and its whole range; products are summed in
FP32. Veltkamp's splitting rounds to that with a product and two differences, which no runtime may
simplify.
"""

from __future__ import annotations

from onnx import ModelProto, TensorProto, helper

from helix_ray.inference.graphs import float_tensors

__all__ = ["rounded"]

ROUNDED = frozenset(("Conv", "ConvTranspose", "Gemm", "MatMul"))
"""Operators that a GPU computes in TF32, by their first two inputs."""

_SPLITTER = float(2**13 + 1)


def rounded(model: ModelProto) -> ModelProto | None:
    """Return a model whose matrix products are computed as in TF32, None where it has none in its main
    graph."""
    copy = ModelProto()
    copy.CopyFrom(model)
    graph = copy.graph
    computed = {
        *float_tensors(model),
        *(each.name for each in graph.initializer if each.data_type == TensorProto.FLOAT),
    }
    computed |= {each.name for each in graph.input if each.type.tensor_type.elem_type == TensorProto.FLOAT}
    done: dict[str, str] = {}
    nodes = []
    for node in graph.node:
        if node.op_type in ROUNDED:
            for index, name in enumerate(list(node.input)[:2]):
                if name in computed and name not in done:
                    nodes += _rounding(name)
                    done[name] = f"{name}_tf32"
                node.input[index] = done.get(name, name)
        nodes.append(node)
    if not done:
        return None
    del graph.node[:]
    graph.node.extend(nodes)
    graph.initializer.append(helper.make_tensor("helix_tf32_splitter", TensorProto.FLOAT, [], [_SPLITTER]))
    return copy


def _rounding(name: str) -> list[object]:
    large, rest = f"{name}_tf32_large", f"{name}_tf32_rest"
    return [
        helper.make_node("Mul", [name, "helix_tf32_splitter"], [large]),
        helper.make_node("Sub", [large, name], [rest]),
        helper.make_node("Sub", [large, rest], [f"{name}_tf32"]),
    ]
