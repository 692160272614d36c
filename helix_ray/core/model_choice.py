"""Which variant of a model's version a node runs a batch with: what was measured there, or FP32.

auto                 the choice for the batch size that is nearest below (else the smallest) of those that
                     were measured on nodes of this class; FP32 where nothing was measured
fp32, fp16, int8     the best choice of such a variant; where none was chosen, the first one that passed
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from helix_ray.core.model_inputs import NotSplittable, row_count
from helix_ray.core.model_records import ChoiceRecord, ModelFiles, VariantRecord

CPU = "CPUExecutionProvider"
FP32 = "fp32"
FILE_BATCH_ROWS = 32
"""Rows of a batch of a file where the task does not say how many."""


class Chosen(NamedTuple):
    """A variant to run, on which provider; `threads` is None where it was not measured."""

    variant: VariantRecord
    provider: str
    threads: int | None


def choose(files: ModelFiles, precision: str, rows: int) -> Chosen:
    """Return what runs batches of `rows`; raises LookupError where the precision has no usable variant."""
    variants = {each["name"]: each for each in files["variants"] if _is_of(each["name"], precision)}
    if not variants:
        named = f"{files['model']}@{files['version']}"
        has = ", ".join(each["name"] for each in files["variants"]) or "none"
        raise LookupError(f"model {named} has no variant in {precision} that passed its gate: it has {has}")
    measured = [choice for choice in files["choices"] if choice["variant"] in variants]
    if not measured:
        usable = variants.get(FP32) or next(iter(variants.values()))
        return Chosen(usable, CPU, None)
    choice = _nearest(measured, rows)
    return Chosen(variants[choice["variant"]], choice["provider"], choice["threads"])


def _is_of(name: str, precision: str) -> bool:
    """Say whether a variant is one of a precision: `int8-static` of int8, `tf32` of its own only."""
    return precision == "auto" or name.partition("-")[0] == precision


def _nearest(choices: Iterable[ChoiceRecord], rows: int) -> ChoiceRecord:
    """Return the choice for the largest batch up to `rows`, else for the smallest."""
    ordered = sorted(choices, key=lambda choice: choice["batch"])
    fitting = [choice for choice in ordered if choice["batch"] <= rows]
    return fitting[-1] if fitting else ordered[0]


def rows_of_batch(run: Mapping[str, Any]) -> int:
    """Return how many rows a run has in a batch, as far as that is known before it is read."""
    size = run.get("batch_size")
    if isinstance(size, int):
        return size
    if "inputs" not in run:
        return FILE_BATCH_ROWS
    try:
        return max(1, row_count(run["inputs"]))
    except NotSplittable:
        return 1
