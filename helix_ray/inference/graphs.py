"""Questions about ONNX graphs: what is in them, in their subgraphs and functions; and the order of nodes."""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Iterator
from typing import TypeVar

import onnx
from onnx import AttributeProto, GraphProto, ModelProto, NodeProto, TensorProto, TensorShapeProto

__all__ = [
    "embedding_sizes", "every_graph", "every_node", "every_tensor", "float_tensors", "inputs_of", "opset_of",
    "size_of", "sort_nodes",
]  # fmt: skip

_Value = TypeVar("_Value")

_PASSING = frozenset(("Cast", "Identity", "Reshape", "Unsqueeze", "Squeeze", "Flatten", "Transpose"))
"""Operators whose output holds the values of their first input."""


def every_node(model: ModelProto) -> Iterator[NodeProto]:
    """Yield the nodes of the graph, its subgraphs and the model's functions."""
    for graph in every_graph(model.graph):
        yield from graph.node
    for function in model.functions:
        yield from _nodes(function.node)


def every_graph(graph: GraphProto) -> Iterator[GraphProto]:
    """Yield a graph and its subgraphs, outer ones first."""
    waiting = [graph]
    while waiting:
        each = waiting.pop()
        yield each
        for node in each.node:
            waiting += _subgraphs(node)


def every_tensor(model: ModelProto) -> Iterator[TensorProto]:
    """Yield the initialisers and the tensors in attributes, wherever they stand."""
    for graph in every_graph(model.graph):
        yield from graph.initializer
        for sparse in graph.sparse_initializer:
            yield sparse.values
            yield sparse.indices
    for node in every_node(model):
        for attribute in node.attribute:
            if attribute.HasField("t"):
                yield attribute.t
            yield from attribute.tensors


def inputs_of(graph: GraphProto) -> list[onnx.ValueInfoProto]:
    """Return the inputs that a caller gives: those without an initialiser."""
    known = {each.name for each in graph.initializer}
    return [each for each in graph.input if each.name not in known]


def opset_of(model: ModelProto) -> int:
    """Return the version of the standard operators, 0 where none is declared."""
    return max((each.version for each in model.opset_import if each.domain in ("", "ai.onnx")), default=0)


def size_of(shape: TensorShapeProto, free: int = 1) -> int:
    """Return how many elements a shape has, with `free` for every axis of any size."""
    count = 1
    for dim in shape.dim:
        count *= dim.dim_value if dim.HasField("dim_value") else free
    return count


def float_tensors(model: ModelProto) -> list[str]:
    """Return the FP32 tensors that the nodes of the main graph compute, as far as shape inference knows
    types."""
    inferred = onnx.shape_inference.infer_shapes(model)
    kinds = {
        each.name: each.type.tensor_type.elem_type
        for each in (*inferred.graph.value_info, *inferred.graph.output)
    }
    names = (name for node in model.graph.node for name in node.output)
    return [name for name in names if kinds.get(name) == TensorProto.FLOAT]


def embedding_sizes(graph: GraphProto) -> dict[str, int]:
    """Return, for each input that selects rows of a table, how many rows the smallest of its tables has."""
    tables = {each.name: list(each.dims) for each in graph.initializer}
    source = {each.name: each.name for each in graph.input}
    found: dict[str, int] = {}
    for node in graph.node:
        if not node.input:
            continue
        if node.op_type in _PASSING:
            for mapping in (tables, source):
                if node.op_type in ("Cast", "Identity") or mapping is source:
                    _pass(mapping, node)
        if node.op_type != "Gather" or node.input[0] not in tables or node.input[1] not in source:
            continue
        name, dims = source[node.input[1]], tables[node.input[0]]
        axis = next((each.i for each in node.attribute if each.name == "axis"), 0)
        if dims:
            found[name] = min(found.get(name, dims[axis]), dims[axis])
    return found


def sort_nodes(graph: GraphProto) -> None:
    """Put the nodes in an order in which each stands after what it needs, and keep their order otherwise.

    Converters append nodes, and only the runtime forgives that. Raises ValueError for a cycle.
    """
    for each in every_graph(graph):
        ordered = _ordered(list(each.node))
        del each.node[:]
        each.node.extend(ordered)


def _ordered(nodes: list[NodeProto]) -> list[NodeProto]:
    """Return the nodes by Kahn's algorithm; of those that are ready, the one that stood first goes first."""
    maker = {name: index for index, node in enumerate(nodes) for name in node.output if name}
    after: dict[int, set[int]] = {index: set() for index in range(len(nodes))}
    missing = [0] * len(nodes)
    for index, node in enumerate(nodes):
        needed = {maker[name] for name in _needs(node) if name in maker}
        missing[index] = len(needed)
        for other in needed:
            after[other].add(index)
    ready = [index for index, count in enumerate(missing) if count == 0]
    ordered = []
    while ready:
        index = heapq.heappop(ready)
        ordered.append(nodes[index])
        for other in after[index]:
            missing[other] -= 1
            if missing[other] == 0:
                heapq.heappush(ready, other)
    if len(ordered) < len(nodes):
        stuck = next(node for index, node in enumerate(nodes) if missing[index])
        raise ValueError(f"the graph has a cycle at node {stuck.name or stuck.op_type!r}")
    return ordered


def _pass(mapping: dict[str, _Value], node: NodeProto) -> None:
    if node.input[0] in mapping:
        mapping[node.output[0]] = mapping[node.input[0]]


def _needs(node: NodeProto) -> Iterator[str]:
    """Yield the inputs of a node and those that its subgraphs take from outside."""
    yield from node.input
    for subgraph in _subgraphs(node):
        for inner in subgraph.node:
            yield from _needs(inner)
        yield from (each.name for each in subgraph.output)


def _nodes(nodes: Iterable[NodeProto]) -> Iterator[NodeProto]:
    for node in nodes:
        yield node
        for subgraph in _subgraphs(node):
            yield from _nodes(subgraph.node)


def _subgraphs(node: NodeProto) -> list[GraphProto]:
    found = []
    for attribute in node.attribute:
        if attribute.type == AttributeProto.GRAPH:
            found.append(attribute.g)
        elif attribute.type == AttributeProto.GRAPHS:
            found += list(attribute.graphs)
    return found
