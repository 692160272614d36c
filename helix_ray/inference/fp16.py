"""FP16: the conversion, and its judgement with true FP16 arithmetic.

The CPU provider of ONNX Runtime computes FP16 in FP32, so an overflow above 65,504 does not show there;
on a GPU it gives infinities. So a variant is judged by the ranges of its tensors in FP32, over all rows,
and on a few rows by ONNX's reference evaluator, which computes in FP16.
"""

from __future__ import annotations

import signal
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import ModelProto, NodeProto, TensorProto, ValueInfoProto, helper, numpy_helper
from onnx.reference import ReferenceEvaluator

from helix_ray.inference.candidate import NotBuilt, open_candidate, run
from helix_ray.inference.graphs import float_tensors, inputs_of, opset_of, sort_nodes

__all__ = ["FP16_MAX", "OVERFLOW_MARGIN", "convert", "evaluate", "overflow", "ranges", "to_storage"]

Array = NDArray[Any]
Feed = dict[str, Array]

FP16_MAX = 65504.0

OVERFLOW_MARGIN = 2.0
"""How far below FP16_MAX a tensor must stay on the rows that were seen, since others will be larger."""

_IS_INF_OPSET = 10
_IR_WITHOUT_WEIGHT_INPUTS = 4

STORED_ELEMENTS_MIN = 64
"""Weights with fewer elements stay in FP32: they are biases and constants, and save nothing."""


def convert(model: ModelProto) -> ModelProto:
    """Return the model in FP16 with inputs and outputs as they were, sorted; raises NotBuilt."""
    from onnxruntime.transformers.float16 import convert_float_to_float16

    _check_weights(model)
    converted: ModelProto = convert_float_to_float16(model, keep_io_types=True)
    if not _computes_in_fp16(converted):
        raise NotBuilt("no operator of this model has an FP16 form")
    sort_nodes(converted.graph)
    onnx.checker.check_model(converted)
    return converted


def to_storage(model: ModelProto) -> ModelProto:
    """Return the model with its FP32 weights stored in FP16 and cast when it is loaded; raises NotBuilt."""
    _check_weights(model)
    stored = ModelProto()
    stored.CopyFrom(model)
    inputs = {each.name for each in stored.graph.input}
    names = {name for node in stored.graph.node for name in (*node.input, *node.output)}
    casts = []
    for tensor in stored.graph.initializer:
        array = _weights(tensor)
        if array is None or array.size < STORED_ELEMENTS_MIN or tensor.name in inputs:
            continue
        name, small = tensor.name, f"{tensor.name}_fp16"
        while small in names:
            small += "_"
        tensor.CopyFrom(numpy_helper.from_array(array.astype(np.float16), small))
        casts.append(helper.make_node("Cast", [small], [name], to=TensorProto.FLOAT))
    if not casts:
        raise NotBuilt(f"it has no FP32 weights of {STORED_ELEMENTS_MIN} or more elements")
    nodes = [*casts, *stored.graph.node]
    del stored.graph.node[:]
    stored.graph.node.extend(nodes)
    return stored


def ranges(model: ModelProto, batches: Iterable[Feed]) -> dict[str, float]:
    """Return the largest finite absolute value that each FP32 tensor has over the batches.

    Infinities are left out: a mask has them on purpose, and FP16 has them, too. The runtime computes the
    largest value of a tensor right after the tensor itself, so that memory does not grow with their number.
    """
    measured = ModelProto()
    measured.CopyFrom(model)
    names = float_tensors(measured)
    if not names:
        return {}
    _measure(measured, names)
    session = open_candidate(measured.SerializeToString(), in_order=True)
    found = dict.fromkeys(names, 0.0)
    for feed in batches:
        values = run(session, feed)[-len(names) :]
        for name, value in zip(names, values, strict=True):
            found[name] = max(found[name], float(value))
    return found


def _measure(model: ModelProto, names: list[str]) -> None:
    """Make a model also return `helix_max_<number>` of each of these tensors."""
    graph, finite_only = model.graph, opset_of(model) >= _IS_INF_OPSET
    if finite_only:
        graph.initializer.append(helper.make_tensor("helix_zero", TensorProto.FLOAT, [], [0.0]))
    largest = {name: _largest(number, name, finite_only=finite_only) for number, name in enumerate(names)}
    graph.output.extend(
        helper.make_tensor_value_info(f"helix_max_{number}", TensorProto.FLOAT, [])
        for number in range(len(names))
    )
    nodes = list(graph.node)
    computed = {output for node in nodes for output in node.output}
    ordered = [each for name in names if name not in computed for each in largest[name]]
    for node in nodes:
        ordered += [node, *(each for output in node.output for each in largest.get(output, ()))]
    del graph.node[:]
    graph.node.extend(ordered)


def _largest(number: int, name: str, *, finite_only: bool) -> list[NodeProto]:
    """Return the nodes that compute `helix_max_<number>`, the largest absolute value of a tensor."""
    absolute, infinite, kept = (f"helix_{word}_{number}" for word in ("abs", "inf", "kept"))
    nodes = [helper.make_node("Abs", [name], [absolute])]
    if finite_only:
        nodes.append(helper.make_node("IsInf", [absolute], [infinite]))
        nodes.append(helper.make_node("Where", [infinite, "helix_zero", absolute], [kept]))
    source = kept if finite_only else absolute
    return [*nodes, helper.make_node("ReduceMax", [source], [f"helix_max_{number}"], keepdims=0)]


def overflow(found: dict[str, float]) -> str | None:
    """Return which tensor comes too near to the end of FP16, and its largest value; None where none does."""
    limit = FP16_MAX / OVERFLOW_MARGIN
    name = max(found, key=lambda each: found[each], default=None)
    if name is None or found[name] <= limit:
        return None
    return (
        f"FP16 overflow: the tensor {name!r} reaches {found[name]:.3g}; FP16 ends at {FP16_MAX:g}, and "
        f"{limit:g} keeps a margin of {OVERFLOW_MARGIN:g}"
    )


def evaluate(model: ModelProto, feed: Feed, seconds: float) -> list[Array] | None:
    """Return the outputs in true FP16 arithmetic; None where they take more time, or an operator is unknown
    to the evaluator."""
    try:
        with _time_cap(seconds), np.errstate(all="ignore"):
            return [np.asarray(each) for each in ReferenceEvaluator(model).run(None, feed)]
    except TimeoutError:
        return None
    except Exception:  # it is Python and lacks operators: each raises what it likes
        return None


@contextmanager
def _time_cap(seconds: float) -> Iterator[None]:
    """Raise TimeoutError in this thread, the main one, after so many seconds."""

    def ring(*_: object) -> None:
        raise TimeoutError

    before = signal.signal(signal.SIGALRM, ring)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def _check_weights(model: ModelProto) -> None:
    """Refuse weights outside FP16, which the converter would clamp without a word."""
    for tensor in model.graph.initializer:
        array = _weights(tensor)
        if array is None or not array.size:
            continue
        largest = float(np.abs(array[np.isfinite(array)]).max(initial=0.0))
        if largest > FP16_MAX:
            raise NotBuilt(
                f"FP16 overflow: the weights {tensor.name!r} reach {largest:.3g}; FP16 ends at {FP16_MAX:g}"
            )


def _weights(tensor: TensorProto) -> Array | None:
    return numpy_helper.to_array(tensor) if tensor.data_type == TensorProto.FLOAT else None


def _computes_in_fp16(model: ModelProto) -> bool:
    """Say whether a node that does more than to cast gets an FP16 tensor."""
    small = {each.name for each in model.graph.initializer if each.data_type == TensorProto.FLOAT16}
    casts = [node for node in model.graph.node if node.op_type == "Cast"]
    for node in casts:
        if any(each.name == "to" and each.i == TensorProto.FLOAT16 for each in node.attribute):
            small.update(node.output)
    return any(small.intersection(node.input) for node in model.graph.node if node.op_type != "Cast")


def read(path: Path) -> ModelProto:
    """Return the model of a file, in the form of today: weights are no inputs, as they were before version 4
    of the format. Tools that fold weights leave such inputs behind, which nobody feeds."""
    model = ModelProto()
    model.ParseFromString(path.read_bytes())
    wanted = inputs_of(model.graph)
    if len(wanted) < len(model.graph.input):
        kept = [ValueInfoProto.FromString(each.SerializeToString()) for each in wanted]
        del model.graph.input[:]
        model.graph.input.extend(kept)
    model.ir_version = max(model.ir_version, _IR_WITHOUT_WEIGHT_INPUTS)
    return model
