"""What is refused of an upload before the runtime sees it: each check raises NotUsable with its reason."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from itertools import chain

import onnx
from onnx import ModelProto, TensorProto, TypeProto, ValueInfoProto

from helix_ray.inference.candidate import NotUsable, raise_out_of_memory, words
from helix_ray.inference.graphs import every_node, every_tensor, inputs_of, opset_of, size_of

__all__ = ["check_upload", "largest_tensor_bytes"]

OPSET_MIN = 7
"""Operators before this version have other rules of broadcasting, and no converter reads them reliably."""

NODES_MAX = 200_000
# Inputs, and outputs: each is named in every answer about the model.
TENSORS_MAX = 1_000
NAME_CHARS_MAX = 256
NAME_CHARS_SHOWN = 40

_STANDARD = ("", "ai.onnx", "ai.onnx.ml")
_RUNTIME_OWN = ("com.microsoft",)
"""Operators of the runtime itself: which of them it has, it says when it loads the model."""

_OTHER_FILES = (
    (0, b"PK\x03\x04", "a zip archive, as PyTorch, Keras and NumPy write them"),
    (0, b"\x89HDF", "an HDF5 file, as Keras writes them"),
    (0, b"\x80\x02", "a Python pickle"),
    (0, b"\x80\x04", "a Python pickle"),
    (0, b"\x80\x05", "a Python pickle"),
    (0, b"GGUF", "a GGUF file, as llama.cpp reads them"),
    (8, b'{"', "a safetensors file, which has weights and no graph: export the model to ONNX"),
    (4, b"TFL3", "a TensorFlow Lite file"),
    (4, b"ORTM", "a file in ONNX Runtime's own format, which fits one machine"),
    (0, b"version https://git-lfs", "a pointer of Git LFS and not the file itself: run git lfs pull"),
    (0, b"<", "a web page"),
)

_NAMES = {kind: name.lower() for name, kind in TensorProto.DataType.items()}
_TAKEN = frozenset(
    (TensorProto.FLOAT, TensorProto.FLOAT16, TensorProto.DOUBLE, TensorProto.BOOL, TensorProto.STRING,
     TensorProto.INT8, TensorProto.INT16, TensorProto.INT32, TensorProto.INT64, TensorProto.UINT8,
     TensorProto.UINT16, TensorProto.UINT32, TensorProto.UINT64)
)  # fmt: skip
"""Types that NumPy has, so that a request can carry them."""


def check_upload(data: bytes, tensor_bytes_max: int) -> ModelProto:
    """Return the model of a file; raises NotUsable. No tensor may be larger than `tensor_bytes_max` for one
    row."""
    model = _parsed(data)
    checks: tuple[Callable[[ModelProto], None], ...] = (_graph, _external, _opset, _operators)
    for check in checks:
        check(model)
    _interface(model)
    _initialisers(model, tensor_bytes_max)
    try:
        onnx.checker.check_model(model)
    except onnx.checker.ValidationError as error:
        raise NotUsable(f"the graph is not valid: {words(error)}") from error
    _sizes(model, tensor_bytes_max)
    return model


def _parsed(data: bytes) -> ModelProto:
    if not data:
        raise NotUsable("the file is empty")
    for at, sign, what in _OTHER_FILES:
        if data[at : at + len(sign)] == sign:
            raise NotUsable(f"not an ONNX model but {what}")
    model = ModelProto()
    try:
        model.ParseFromString(data)
    except Exception as error:  # DecodeError of protobuf, which ships no types
        raise_out_of_memory(error)
        raise NotUsable("not an ONNX model, or one that was cut off: it cannot be parsed") from error
    _check_text(model)
    return model


def _check_text(model: ModelProto) -> None:
    """Refuse names that are not UTF-8: protobuf gives some of them as bytes, and fails for others later."""
    try:
        names = [text for node in every_node(model) for text in (node.op_type, node.domain, node.name)]
        is_text = all(isinstance(each, str) for each in names)
    except UnicodeDecodeError:
        is_text = False
    if not is_text:
        raise NotUsable("a name in it is not UTF-8 text")


def _graph(model: ModelProto) -> None:
    if not model.HasField("graph") or not model.graph.node:
        raise NotUsable("the graph has no nodes")
    count = len(model.graph.node)
    if count > NODES_MAX:
        raise NotUsable(f"the graph has {count} nodes; the limit is {NODES_MAX}")
    if model.ir_version > onnx.IR_VERSION:
        raise NotUsable(
            f"its format is version {model.ir_version}; the last one that is read is {onnx.IR_VERSION}"
        )


def _external(model: ModelProto) -> None:
    for tensor in chain(every_tensor(model), _of_training(model)):
        if tensor.data_location == TensorProto.EXTERNAL or tensor.external_data:
            place = next((each.value for each in tensor.external_data if each.key == "location"), "unnamed")
            raise NotUsable(
                f"the weights {tensor.name!r} are in another file ({place!r}); save the model as one file: "
                f"onnx.save(onnx.load(FILE), ONE_FILE), or torch.onnx.export(..., external_data=False)"
            )


def _of_training(model: ModelProto) -> Iterator[TensorProto]:
    """Yield what nobody computes with, and libraries may read all the same."""
    for training in model.training_info:
        for graph in (training.initialization, training.algorithm):
            yield from graph.initializer


def _opset(model: ModelProto) -> None:
    version, last = opset_of(model), onnx.defs.onnx_opset_version()
    if not model.opset_import:
        raise NotUsable("it declares no opset")
    domains = {each.domain for each in model.opset_import}
    if version == 0 and domains & {"ai.onnx.ml"}:
        return  # a model of classic operators alone
    if not OPSET_MIN <= version <= last:
        raise NotUsable(f"opset {version} is not supported; use {OPSET_MIN} to {last}")


def _operators(model: ModelProto) -> None:
    own = {(each.domain, each.name) for each in model.functions}
    for node in every_node(model):
        domain = "" if node.domain == "ai.onnx" else node.domain
        if (node.domain, node.op_type) in own or domain in _RUNTIME_OWN:
            continue
        if domain not in _STANDARD:
            raise NotUsable(
                f"the operator {node.op_type!r} is custom (domain {node.domain!r}); only operators of ONNX "
                "and of its runtime can be used"
            )
        if not onnx.defs.has(node.op_type, domain):
            raise NotUsable(f"the operator {node.op_type!r} does not exist in {domain or 'ai.onnx'}")


def _interface(model: ModelProto) -> None:
    if not model.graph.output:
        raise NotUsable("the graph has no outputs")
    if not inputs_of(model.graph):
        raise NotUsable("the graph has no inputs: it would give the same answer to everything")
    for word, values in (("input", inputs_of(model.graph)), ("output", model.graph.output)):
        if len(values) > TENSORS_MAX:
            raise NotUsable(f"the graph has {len(values)} {word}s; the limit is {TENSORS_MAX}")
        for each in values:
            _check_name(word, each.name)
            _check_type(word, each)
    for each in inputs_of(model.graph):
        if any(dim.HasField("dim_value") and dim.dim_value == 0 for dim in each.type.tensor_type.shape.dim):
            raise NotUsable(f"input {each.name!r} has an axis of size 0, so that it never has a value")


def _check_name(word: str, name: str) -> None:
    """Refuse names that a listing, a column or a message cannot show."""
    if not name or len(name) > NAME_CHARS_MAX or not name.isprintable():
        shown = ascii(name[:NAME_CHARS_SHOWN])
        raise NotUsable(
            f"the {word} {shown} has no name that can be shown: it must have 1 to {NAME_CHARS_MAX} printable "
            "characters"
        )


def _check_type(word: str, value: ValueInfoProto) -> None:
    kind = value.type.WhichOneof("value")
    if kind != "tensor_type":
        name = (kind or "nothing").removesuffix("_type")
        advice = (
            " (of a scikit-learn classifier: convert it with zipmap=False)" if kind == "sequence_type" else ""
        )
        raise NotUsable(f"{word} {value.name!r} is of type {name}; only tensors can be used{advice}")
    tensor: TypeProto.Tensor = value.type.tensor_type
    if tensor.elem_type not in _TAKEN:
        raise NotUsable(
            f"{word} {value.name!r} is {_NAMES.get(tensor.elem_type, '?')}, which NumPy does not have"
        )


def _initialisers(model: ModelProto, tensor_bytes_max: int) -> None:
    for tensor in model.graph.initializer:
        if any(size < 0 for size in tensor.dims):
            raise NotUsable(f"the weights {tensor.name!r} have a negative size: {list(tensor.dims)}")
        wanted = math.prod(tensor.dims) * _element_bytes(tensor.data_type)
        if wanted > tensor_bytes_max:
            raise NotUsable(_too_large(f"the weights {tensor.name!r}", wanted, tensor_bytes_max))
        if tensor.raw_data and math.ceil(wanted) != len(tensor.raw_data):
            raise NotUsable(
                f"the weights {tensor.name!r} should have {math.ceil(wanted)} bytes {list(tensor.dims)}, and "
                f"have {len(tensor.raw_data)}"
            )


def _sizes(model: ModelProto, tensor_bytes_max: int) -> None:
    """Refuse tensors whose size for one row follows from the graph and is above the limit."""
    for name, wanted in _tensor_bytes(model):
        if wanted > tensor_bytes_max:
            raise NotUsable(_too_large(f"the tensor {name!r}", wanted, tensor_bytes_max))


def largest_tensor_bytes(model: ModelProto) -> float:
    """Return the bytes of the largest tensor for one row, as far as sizes follow from the graph."""
    return max((size for _, size in _tensor_bytes(model)), default=0.0)


def _tensor_bytes(model: ModelProto) -> Iterator[tuple[str, float]]:
    """Yield inputs, outputs and what is between them, with their bytes for one row."""
    try:
        graph = onnx.shape_inference.infer_shapes(model, data_prop=True).graph
    except (onnx.shape_inference.InferenceError, RuntimeError):
        return  # what does not fit together, the runtime says more clearly
    for value in (*graph.input, *graph.value_info, *graph.output):
        tensor = value.type.tensor_type
        yield value.name, size_of(tensor.shape) * _element_bytes(tensor.elem_type)


def _too_large(what: str, wanted: float, limit: int) -> str:
    return f"{what} would need {wanted / 2**20:,.0f} MB for one row; the limit is {limit / 2**20:,.0f} MB"


def _element_bytes(kind: int) -> float:
    if kind in (TensorProto.INT4, TensorProto.UINT4):
        return 0.5
    if kind in (TensorProto.STRING, TensorProto.UNDEFINED):
        return 0
    try:
        return float(onnx.helper.tensor_dtype_to_np_dtype(kind).itemsize)
    except (KeyError, TypeError):
        return 1
