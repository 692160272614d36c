"""Decides whether an upload can be used, by loading and running it: its rows, its batch, its outputs.

Axes of a graph say what its author believed. A batch is `dynamic` only where 1, 2 and 3 rows were run,
the outputs had that many rows, and each row was what it is alone.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
from numpy.typing import NDArray

from helix_ray.inference.calibration import FREE_SIZES, PreparedRows, prepare
from helix_ray.inference.candidate import (
    ROWS_PER_RUN,
    NamedRows,
    NotUsable,
    feeds,
    open_candidate,
    run,
    shapes,
)
from helix_ray.inference.graphs import opset_of
from helix_ray.inference.upload_checks import check_upload, largest_tensor_bytes
from helix_ray.inference.variants import Signature, TensorShape

__all__ = ["Admitted", "admit"]

Array = NDArray[Any]

SAME_ROW_TOLERANCE = 1e-3
"""Largest difference of a row alone and among others, by the largest value of the output: sums are in
another order."""

PASS_TIME_S = 30.0
"""The CPU time for which FP32 runs the rows that judge; there is one such pass for each variant."""

_RUN_SHARE_MAX = 1 / 16
"""The largest part of the memory limit that one tensor may need in one run."""

_TENSOR_SHARE_MAX = 0.5
"""The largest part of the memory limit that one tensor may need for one row."""


@dataclass(frozen=True, slots=True)
class Admitted:
    """A model that can be used: what is said of it, and the rows that it is examined with."""

    signature: Signature
    calibration: NamedRows
    judging: NamedRows


def admit(path: Path, calibration: Path | None, heldout: Path | None, memory_mb: int) -> Admitted:
    """Return what an upload is; raises NotUsable with the reason."""
    model = check_upload(path.read_bytes(), int(memory_mb * 2**20 * _TENSOR_SHARE_MAX))
    session = open_candidate(path)
    inputs, outputs = shapes(session.get_inputs()), shapes(session.get_outputs())
    batch = declared_batch(inputs)
    memory = memory_mb * 2**20
    prepared = _rows_that_run(session, (calibration, heldout), inputs, model.graph, batch, memory // 8)
    warnings = list(prepared.warnings)
    if batch == "dynamic":
        batch, reason = real_batch(session, prepared.judging)
        warnings += [f"its batch axis is dynamic in name only: {reason}"] if reason else []
    rows, judging = prepared.calibration, prepared.judging
    if batch == "none" and declared_batch(inputs) == "dynamic":
        rows, judging = _one_call(rows), _one_call(judging)
    per_run = _rows_per_run(model, memory)
    rows, judging = replace(rows, per_run=per_run), replace(judging, per_run=per_run)
    run_s = _check_outputs(session, judging, batch, outputs)
    judging, note = _within_time(judging, batch, run_s)
    warnings += [note] if note else []
    if any(node.op_type == "ConvInteger" for node in model.graph.node):
        warnings.append("it has ConvInteger, which is several times slower than Conv in FP32 on CPUs")
    signature: Signature = {
        "inputs": inputs, "outputs": outputs, "opset": opset_of(model), "batch": batch, "warnings": warnings,
    }  # fmt: skip
    return Admitted(signature, rows, judging)


def declared_batch(inputs: Sequence[TensorShape]) -> str:
    """Return the batch that the shapes of the inputs declare."""
    if any(not each["shape"] for each in inputs):
        return "none"
    first = [each["shape"][0] for each in inputs]
    if all(not isinstance(size, int) for size in first):
        return "dynamic"
    sizes = set(first)
    return f"fixed {first[0]}" if len(sizes) == 1 and isinstance(first[0], int) else "none"


def real_batch(session: onnxruntime.InferenceSession, rows: NamedRows) -> tuple[str, str | None]:
    """Return the batch that runs of 1, 2 and 3 rows show, and why it is not dynamic.

    Where more than one row cannot be run, it is `fixed 1`; where rows change each other, axis 0 counts no
    rows.
    """
    alone = []
    for start in range(3):
        part = rows.part(start, start + 1) if start < len(rows) else rows.part(0, 1)
        alone.append(run(session, part.arrays))
    if any(output.ndim == 0 or len(output) != 1 for output in alone[0]):
        return "none", f"1 row gives outputs of the shapes {[list(output.shape) for output in alone[0]]}"
    for count in (2, 3):
        feed = {name: _taken(array, count) for name, array in rows.arrays.items()}
        try:
            together = run(session, feed)
        except NotUsable as error:
            return "fixed 1", f"{count} rows cannot be run: {error}"
        for index, output in enumerate(together):
            if output.ndim == 0 or len(output) != count:
                return "fixed 1", f"{count} rows give an output of the shape {list(output.shape)}"
            single = np.concatenate([alone[row][index] for row in range(count)])
            if (difference := _difference(single, output)) > SAME_ROW_TOLERANCE:
                return "none", f"rows change each other, by {difference:.2g} of the largest value"
    return "dynamic", None


def _rows_that_run(
    session: onnxruntime.InferenceSession, files: tuple[Path | None, Path | None], inputs: list[TensorShape],
    graph: onnx.GraphProto, batch: str, bytes_max: int,
) -> PreparedRows:  # fmt: skip
    """Return rows that the model runs with; where rows are made, several sizes of its free axes are tried."""
    problem = NotUsable("no rows")
    for free_size in FREE_SIZES:
        prepared = prepare(*files, inputs, graph, batch, free_size, bytes_max)
        first = prepared.judging.part(0, 1) if batch == "dynamic" else prepared.judging
        feed = next(feeds(first, batch), None)
        if feed is None:
            raise NotUsable(
                f"heldout: {len(prepared.judging)} rows do not fill one batch: the model takes {batch}"
            )
        try:
            run(session, feed[0])
            return prepared
        except NotUsable as error:
            problem = error
            if prepared.judging.data == "given" or not _has_free_axes(inputs):
                break
    raise NotUsable(f"{problem}; with {_described(prepared.judging)} rows {_first_shapes(first, batch)}")


def _check_outputs(
    session: onnxruntime.InferenceSession, rows: NamedRows, batch: str, outputs: Sequence[TensorShape]
) -> float:  # fmt: skip
    """Refuse outputs that nothing can be compared to; returns the seconds of a run."""
    feed, _ = next(feeds(rows, batch))
    first = run(session, feed)
    began = time.process_time()
    second = run(session, feed)
    seconds = time.process_time() - began
    for each, one, two in zip(outputs, first, second, strict=True):
        if one.dtype.kind == "f" and not np.isfinite(one).all():
            raise NotUsable(f"output {each['name']!r} is not finite in FP32 with {_described(rows)} rows")
        if one.shape != two.shape or not np.array_equal(one, two):
            raise NotUsable(
                f"output {each['name']!r} differs between two runs of the same rows: nothing can be "
                "compared to it"
            )
    return seconds


def _within_time(rows: NamedRows, batch: str, run_s: float) -> tuple[NamedRows, str | None]:
    """Return as many rows as FP32 runs within PASS_TIME_S, and what is to be said where that leaves some
    out."""
    allowed = max(1, int(PASS_TIME_S / max(run_s, 1e-6))) * _rows_of_run(rows, batch)
    if allowed >= len(rows):
        return rows, None
    return rows.part(
        0, allowed
    ), f"{allowed} of {len(rows)} rows judge: one pass takes {PASS_TIME_S:g} s with those"


def _rows_per_run(model: onnx.ModelProto, memory: int) -> int:
    """Return how many rows are run together: their largest tensor takes a part of the memory that leaves
    room for others, and for the sums of a calibration."""
    allowed = int(memory * _RUN_SHARE_MAX / max(1.0, largest_tensor_bytes(model)))
    return max(1, min(ROWS_PER_RUN, allowed))


def _rows_of_run(rows: NamedRows, batch: str) -> int:
    if batch == "none":
        return 1
    return min(len(rows), rows.per_run) if batch == "dynamic" else int(batch.split()[1])


def _one_call(rows: NamedRows) -> NamedRows:
    """Turn rows into one call with a few of them, for a model in which axis 0 counts no rows."""
    return NamedRows({name: array[None, :32] for name, array in rows.arrays.items()}, None, rows.data)


def _taken(array: Array, count: int) -> Array:
    """Return the first rows, with row 0 in the place of those that are missing."""
    return array[[row if row < len(array) else 0 for row in range(count)]]


def _difference(a: Array, b: Array) -> float:
    if a.shape != b.shape:
        return float("inf")
    if a.dtype.kind != "f":
        return float(np.mean(a != b)) if a.size else 0.0
    largest = float(np.abs(a).max()) if a.size else 0.0
    if not np.isfinite(a).all() or not np.isfinite(b).all():
        return 0.0  # `_check_outputs` says so
    return float(np.abs(a.astype(np.float64) - b).max()) / (largest or 1.0) if a.size else 0.0


def _has_free_axes(inputs: Sequence[TensorShape]) -> bool:
    return any(not isinstance(size, int) for each in inputs for size in each["shape"][1:])


def _described(rows: NamedRows) -> str:
    return "given" if rows.data == "given" else "synthetic"


def _first_shapes(rows: NamedRows, batch: str) -> str:
    skipped = 1 if batch == "none" else 0
    return ", ".join(f"{name} {list(array.shape[skipped:])}" for name, array in rows.arrays.items())
