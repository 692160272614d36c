"""Rows whose outputs are NaN or infinity: which they are, and why."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping

import numpy as np

from helix_ray.core.inference_result import FIRST_ROWS_MAX, NotFinite
from helix_ray.inference.tensors import Array

OF_INPUTS = "their inputs hold NaN or infinity"
OF_FP32 = "the model computes NaN or infinity for them in FP32"
OF_OTHERS = (
    "they are computed by the variant {variant} in {arithmetic}, which may lack the range for them: "
    "precision fp32 has it"
)


class NotFiniteRows:
    """Looks at batch after batch of what goes into a model and what comes out of it."""

    def __init__(self) -> None:
        self._done = self._count = self._given = 0
        self._first: list[int] = []
        self._values: Counter[str] = Counter()
        self._has_rows = True

    def look(self, inputs: Mapping[str, Array], outputs: Mapping[str, Array], rows: int | None) -> None:
        """Look at a batch; `rows` is None where its first axis does not count rows."""
        bad = {name: int(_bad(array).sum()) for name, array in outputs.items() if _is_bad(array)}
        self._values.update(bad)
        if rows is None:
            self._has_rows = False
        elif bad:
            marked = _marked((outputs[name] for name in bad), rows)
            self._count += int(marked.sum())
            self._given += int((marked & _marked(inputs.values(), rows)).sum())
            room = FIRST_ROWS_MAX - len(self._first)
            self._first += [self._done + int(row) for row in np.flatnonzero(marked)[:room]]
        self._done += rows or 0

    def said(self, variant: str, arithmetic: str) -> NotFinite | None:
        """Return what there is to say; None where all is finite."""
        if not self._values:
            return None
        reason = OF_FP32 if variant == "fp32" else OF_OTHERS.format(variant=variant, arithmetic=arithmetic)
        if self._given == self._count and self._has_rows:
            reason = OF_INPUTS
        elif self._given:
            reason = f"the inputs of {self._given} of them hold NaN or infinity; of the others: {reason}"
        rows = self._count if self._has_rows else None
        return {"rows": rows, "first_rows": self._first, "values": dict(self._values), "reason": reason}


def _bad(array: Array) -> Array:
    return ~np.isfinite(array)


def _is_bad(array: Array) -> bool:
    return array.dtype.kind == "f" and not np.isfinite(array).all()


def _marked(arrays: Iterable[Array], rows: int) -> Array:
    """Return for each row whether it has a value that is not finite."""
    marked = np.zeros(rows, bool)
    for array in arrays:
        if array.dtype.kind == "f":
            marked |= _bad(array).reshape(rows, -1).any(axis=1)
    return marked
