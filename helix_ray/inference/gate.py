"""Compares a variant to FP32, batch by batch, and judges the figures by the bounds of the model.

Nothing is kept of a batch but sums, so the size of the data set does not matter.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from helix_ray.inference.variants import Accuracy, Gate, GateBounds

__all__ = ["Comparison", "faults", "paired_difference"]

Array = NDArray[Any]

LABELLED_ROWS_MIN = 100
"""Fewer labelled rows than this decide nothing: the interval of the difference would be wider than any
bound."""

_NORMAL_95 = 1.96


@dataclass(slots=True)
class _Output:
    largest: float = 0.0
    difference: float = 0.0


class Comparison:
    """The difference between the outputs of FP32 and those of a variant, over all batches that were added."""

    def __init__(self) -> None:
        self._outputs: dict[int, _Output] = {}
        self._cosine = 1.0
        self._finite = True
        self.rows = 0
        self._classes: int | None = None
        self._agreed = 0
        self._right = [0, 0]  # labelled rows that FP32 and the variant get right
        self._only = [0, 0]  # those that only FP32, and only the variant gets right
        self._labelled = 0

    def add(
        self, reference: Sequence[Array], candidate: Sequence[Array], labels: Array | None = None
    ) -> None:
        """Compare one batch: outputs in the order of the model, and optionally the classes of its rows."""
        self.rows += len(reference[0]) if reference[0].ndim else 1
        if self._classes is None:
            self._classes = _class_output(reference)
        for index, (wanted, got) in enumerate(zip(reference, candidate, strict=True)):
            self._differ(self._outputs.setdefault(index, _Output()), wanted, got)
        if self._classes >= 0:
            self._agree(reference[self._classes], candidate[self._classes], labels)

    def result(self, data: Literal["given", "synthetic"], method: str) -> Gate:
        """Return the figures; `passed` is True until `faults` finds one."""
        relative = max(
            (each.difference / (each.largest or 1.0) for each in self._outputs.values()), default=0.0
        )
        return {
            "data": data,
            "rows": self.rows,
            "max_relative_error": _shortened(relative) if self._finite else None,
            "min_cosine": _shortened(self._cosine) if self._finite else None,
            "top1_agreement": _shortened(self._agreed / self.rows) if self._has_classes() else None,
            "accuracy": self._accuracy(),
            "passed": True,
            "method": method,
        }

    def _has_classes(self) -> bool:
        return self._classes is not None and self._classes >= 0 and self.rows > 0

    def _differ(self, output: _Output, wanted: Array, got: Array) -> None:
        if wanted.shape != got.shape:
            raise ValueError(f"an output has the shape {got.shape}, and {wanted.shape} in FP32")
        if wanted.dtype.kind != "f":
            different = float(np.mean(wanted != got)) if wanted.size else 0.0
            output.largest, output.difference = 1.0, max(output.difference, different)
            return
        if not np.isfinite(got).all():
            self._finite = False
            return
        a, b = wanted.astype(np.float64), got.astype(np.float64)
        if not a.size:
            return
        output.largest = max(output.largest, float(np.abs(a).max()))
        output.difference = max(output.difference, float(np.abs(a - b).max()))
        self._cosine = min(self._cosine, _lowest_cosine(a, b))

    def _agree(self, reference: Array, candidate: Array, labels: Array | None) -> None:
        wanted, got = _classes(reference), _classes(candidate)
        self._agreed += int(np.sum(wanted == got))
        if labels is None:
            return
        first, second = wanted == labels, got == labels
        self._labelled += len(labels)
        self._right[0] += int(first.sum())
        self._right[1] += int(second.sum())
        self._only[0] += int((first & ~second).sum())
        self._only[1] += int((second & ~first).sum())

    def _accuracy(self) -> Accuracy | None:
        if not self._labelled:
            return None
        low, high = paired_difference(self._only[0], self._only[1], self._labelled)
        fp32, variant = (right / self._labelled for right in self._right)
        return {
            "fp32": _shortened(fp32),
            "variant": _shortened(variant),
            "difference": _shortened(variant - fp32),
            "low": _shortened(low),
            "high": _shortened(high),
        }


def faults(gate: Gate, bounds: GateBounds) -> list[str]:
    """Return what is outside the bounds, each with its figure; nothing for a variant that passes.

    With enough labelled rows the accuracy decides, and not the agreement of the top class.
    """
    error, cosine = gate["max_relative_error"], gate["min_cosine"]
    if error is None or cosine is None:
        return ["its outputs are not finite"]
    found = []
    if error > bounds.max_relative_error:
        found.append(f"relative error {error:.3g} is above {bounds.max_relative_error:g}")
    if cosine < bounds.min_cosine:
        found.append(f"cosine {cosine:.4g} is below {bounds.min_cosine:g}")
    accuracy, agreement = gate["accuracy"], gate["top1_agreement"]
    if accuracy is not None and gate["rows"] >= LABELLED_ROWS_MIN:
        if -accuracy["difference"] > bounds.max_accuracy_drop:
            found.append(
                f"accuracy {accuracy['variant']:.4g} is {-accuracy['difference']:.2g} below FP32, which is "
                f"more than {bounds.max_accuracy_drop:g}"
            )
    elif agreement is not None and agreement < bounds.min_top1_agreement:
        found.append(f"agreement of the top class {agreement:.4g} is below {bounds.min_top1_agreement:g}")
    return found


def paired_difference(only_first: int, only_second: int, rows: int) -> tuple[float, float]:
    """Return the 95 % interval of the difference of two shares of the same rows (second minus first).

    Agresti and Min (2005): half a row is added to both kinds of disagreement, so that the interval is
    right for few disagreements, too, where the common one has no width at all.
    """
    b, c, n = only_first + 0.5, only_second + 0.5, rows + 2
    middle = (c - b) / n
    width = _NORMAL_95 * math.sqrt(max(0.0, (b + c) - (c - b) ** 2 / n)) / n
    return max(-1.0, middle - width), min(1.0, middle + width)


def _class_output(outputs: Sequence[Array]) -> int:
    """Return the index of the output with the classes: numbers [rows], else scores [rows, classes]; or -1."""
    for index, output in enumerate(outputs):
        if output.ndim == 1 and output.dtype.kind in "iu":
            return index
    for index, output in enumerate(outputs):
        if output.ndim == 2 and output.shape[1] > 1 and output.dtype.kind == "f":
            return index
    return -1


def _classes(output: Array) -> Array:
    return (
        output if output.ndim == 1 else np.nan_to_num(output.astype(np.float64), nan=-np.inf).argmax(axis=1)
    )


def _lowest_cosine(a: Array, b: Array) -> float:
    rows_a, rows_b = (
        each.reshape(len(each), -1) if each.ndim > 1 else each.reshape(1, -1) for each in (a, b)
    )
    norms = np.linalg.norm(rows_a, axis=1) * np.linalg.norm(rows_b, axis=1)
    products = np.einsum("ij,ij->i", rows_a, rows_b)
    both_zero = (np.abs(rows_a).max(axis=1) == 0) & (np.abs(rows_b).max(axis=1) == 0)
    cosines = np.where(both_zero, 1.0, products / np.where(norms == 0, 1.0, norms))
    return float(cosines.min())


def _shortened(value: float) -> float:
    return round(float(value), 6)
