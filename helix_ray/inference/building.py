"""Builds the variants of a model, one file each; what cannot be built raises NotBuilt with the reason.

INT8 is never made of a Conv by dynamic quantisation: that gives ConvInteger, which takes 8 to 12 times as
long as FP32 (onnxruntime 1.32, x86), although it is what `quantize_dynamic` does by itself.

INT8 weights have seven bits, -64 to 64. An x86 CPU without VNNI adds two products of an unsigned activation
and a weight in 16 bits with saturation: 2 x 255 x 127 is too large, and 2 x 255 x 64 fits. So a variant gives
the same sums on every CPU, whichever examined it.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnxruntime.quantization import (
    CalibrationDataReader,
    QuantFormat,
    QuantType,
    quantize_dynamic,
    quantize_static,
)
from onnxruntime.quantization.shape_inference import quant_pre_process

from helix_ray.inference import fp16
from helix_ray.inference.candidate import NotBuilt, NotUsable, out_of_memory, words
from helix_ray.inference.graphs import opset_of
from helix_ray.inference.variants import FP16, FP16_STORAGE, INT8_DYNAMIC, INT8_STATIC

__all__ = ["build"]

Feed = dict[str, NDArray[Any]]

DYNAMIC_OPERATORS = ["MatMul", "Gemm", "Gather", "Attention", "EmbedLayerNormalization", "LSTM"]
"""What dynamic quantisation is fast for. Conv is not among them."""

_NO_RANGE = "scale issue"
"""All that the quantizer says of a tensor whose range is not finite."""

_PER_CHANNEL_OPSET_MIN = 13
_QUANTIZED = frozenset(("MatMulInteger", "DynamicQuantizeLSTM", "QAttention", "QEmbedLayerNormalization"))


def build(name: str, model: Path, target: Path, batches: Iterator[Feed]) -> None:
    """Write the variant `name` of a model to `target`; `batches` calibrate static INT8, one at a time.

    Raises NotBuilt, and MemoryError where the limit does not suffice.
    """
    try:
        with _unlogged():
            _build(name, model, target, batches)
    except (NotBuilt, MemoryError):
        raise
    except Exception as error:  # converters raise anything, for models that they did not foresee
        if out_of_memory(error):
            raise MemoryError(str(error)) from error
        raise NotBuilt(words(error) if isinstance(error, NotUsable) else _what(error)) from error


@contextmanager
def _unlogged() -> Iterator[None]:
    """Keep the quantizer's advice from standard error."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        yield
    finally:
        logging.disable(before)


def _build(name: str, model: Path, target: Path, batches: Iterator[Feed]) -> None:
    if name == FP16:
        onnx.save(fp16.convert(fp16.read(model)), target)
    elif name == FP16_STORAGE:
        onnx.save(fp16.to_storage(fp16.read(model)), target)
    elif name == INT8_STATIC:
        _static(model, target, batches)
    elif name == INT8_DYNAMIC:
        _dynamic(model, target)
    else:
        raise NotBuilt(f"unknown variant {name!r}")


class _CalibrationBatches(CalibrationDataReader):  # type: ignore[misc]
    """Hands batches to the calibrator one at a time; it keeps two numbers of each tensor and batch. `odd` has
    the inputs that held NaN or infinity, of which no range can be made."""

    def __init__(self, batches: Iterator[Feed]) -> None:
        self._batches = batches
        self.odd: set[str] = set()

    def get_next(self) -> Feed | None:
        feed = next(self._batches, None)
        for name, array in (feed or {}).items():
            if array.dtype.kind == "f" and not np.isfinite(array).all():
                self.odd.add(name)
        return feed


def _static(model: Path, target: Path, batches: Iterator[Feed]) -> None:
    reader = _CalibrationBatches(batches)
    try:
        with _prepared(model, target.parent) as prepared:
            quantize_static(
                prepared, target, reader, quant_format=QuantFormat.QDQ, per_channel=True,
                activation_type=QuantType.QUInt8, weight_type=QuantType.QInt8, reduce_range=True,
            )  # fmt: skip
    except AssertionError as error:
        if _NO_RANGE not in str(error):
            raise
        named = ", ".join(map(repr, sorted(reader.odd)))
        where = f"input {named}" if named else "a tensor inside the model"
        raise NotBuilt(f"rows that calibrate give NaN or infinity in {where}: that has no range") from error
    if not _operators(target)["QuantizeLinear"]:
        raise NotBuilt("no operator of this model has an INT8 form")


def _dynamic(model: Path, target: Path) -> None:
    present = _operators(model)
    if not any(present[each] for each in DYNAMIC_OPERATORS):
        raise NotBuilt(
            "no operator of this model is fast with dynamic INT8"
            + ("; Conv would take 8 to 12 times as long as FP32" if present["Conv"] else "")
        )
    operators = list(DYNAMIC_OPERATORS)
    with _prepared(model, target.parent) as prepared:
        quantize_dynamic(
            prepared, target, op_types_to_quantize=operators, per_channel=True,
            weight_type=QuantType.QInt8, reduce_range=True,
        )  # fmt: skip
    made = _operators(target)
    if not any(made[each] for each in _QUANTIZED):
        raise NotBuilt("none of its matrix products has constant weights to quantize")


@contextmanager
def _prepared(model: Path, folder: Path) -> Iterator[Path]:
    """Give the model with shapes and simple optimisations, in an opset with scales per channel."""
    with TemporaryDirectory(prefix="prepared-", dir=folder) as scratch:
        source, prepared = Path(scratch) / "source.onnx", Path(scratch) / "prepared.onnx"
        read = fp16.read(model)
        if 0 < opset_of(read) < _PER_CHANNEL_OPSET_MIN:
            read = onnx.version_converter.convert_version(read, _PER_CHANNEL_OPSET_MIN)
        onnx.save(read, source)
        quant_pre_process(source, prepared, skip_symbolic_shape=True)
        yield prepared


def _operators(path: Path) -> Counter[str]:
    return Counter(node.op_type for node in fp16.read(path).graph.node)


def _what(error: Exception) -> str:
    return f"the converter failed: {type(error).__name__}: {words(error)}"
