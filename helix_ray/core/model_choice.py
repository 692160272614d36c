"""Which variant of a model's version a node runs a batch with: what was measured there, or FP32.

auto                 the fastest choice for the batch size that is nearest below (else the smallest) of those
                     that were measured on nodes of this class; FP32 where nothing was measured
fp32, fp16, int8     the fastest such variant that was measured; where none was, the first one that passed
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from helix_ray.core.model_inputs import NotSplittable, row_count
from helix_ray.core.model_records import ChoiceRecord, ModelFiles, VariantRecord

CPU = "CPUExecutionProvider"
FP32 = "fp32"
FILE_BATCH_ROWS = 32
"""Rows of a batch of a file where the task does not say how many."""


# A task that asks for no GPU sees none, so these cannot be started for it.
NEED_GPU = frozenset(("CUDAExecutionProvider", "MIGraphXExecutionProvider", "TensorrtExecutionProvider"))


class Chosen(NamedTuple):
    """A variant to run, on which provider; `threads` is None for all that the task's CPUs allow. `tf32` has
    the file of FP32. `measured`: it is the fastest of those that were measured on this class of nodes, with
    CUDA graphs where `cuda_graph`."""

    variant: VariantRecord
    provider: str
    threads: int | None
    measured: bool
    cuda_graph: bool = False


def choose(files: ModelFiles, precision: str, rows: int) -> Chosen:
    """Return what runs batches of `rows`; raises LookupError where the precision has no usable variant."""
    variants = {each["name"]: each for each in files["variants"] if is_of(each["name"], precision)}
    if not variants:
        named = f"{files['model']}@{files['version']}"
        has = ", ".join(each["name"] for each in files["variants"]) or "none"
        raise LookupError(f"model {named} has no variant in {precision} that passed its gate: it has {has}")
    offered = automatic(files["choices"]) if precision == "auto" else files["choices"]
    measured = [choice for choice in offered if choice["variant"] in variants]
    if not measured:
        usable = variants.get(FP32) or next(iter(variants.values()))
        return Chosen(usable, CPU, None, measured=False)
    choice = _nearest(measured, rows)
    variant = variants[choice["variant"]]
    if variant["digest"] is None:
        variant = {**variant, "digest": _file_of_fp32(files)}
    threads, graph = _threads(choice, measured), choice.get("cuda_graph", False)
    return Chosen(variant, choice["provider"], threads, measured=True, cuda_graph=graph)


def automatic(choices: Iterable[ChoiceRecord]) -> list[ChoiceRecord]:
    """Return the choices of tasks that ask for no precision."""
    return [each for each in choices if not each.get("only_by_name", False)]


def usable_choices(
    choices: Sequence[ChoiceRecord], demand: Iterable[tuple[str, float]]
) -> list[ChoiceRecord]:
    """Return the choices that a task with these resources can run: those of GPUs only where it asks for one,
    and none with more threads than it has CPUs."""
    asked = dict(demand)
    cpus = max(1.0, asked.get("cpu", 1.0))
    has_gpu = asked.get("gpu", 0.0) > 0
    return [
        each for each in choices if each["threads"] <= cpus and (has_gpu or each["provider"] not in NEED_GPU)
    ]


def _threads(choice: ChoiceRecord, measured: Iterable[ChoiceRecord]) -> int | None:
    """Return the threads of a choice where more of them were measured and were slower; else None."""
    same = (choice["batch"], choice["provider"])
    most = max(each["threads"] for each in measured if (each["batch"], each["provider"]) == same)
    return None if choice["threads"] == most else choice["threads"]


def _file_of_fp32(files: ModelFiles) -> str | None:
    return next((each["digest"] for each in files["variants"] if each["name"] == FP32), None)


def is_of(name: str, precision: str) -> bool:
    """Say whether a variant is one of a precision: `int8-static` of int8, `tf32` of its own only."""
    return precision == "auto" or name.partition("-")[0] == precision


def _nearest(choices: Iterable[ChoiceRecord], rows: int) -> ChoiceRecord:
    """Return the fastest choice for the largest batch up to `rows`, else for the smallest."""
    measured = list(choices)
    sizes = {choice["batch"] for choice in measured}
    size = max((each for each in sizes if each <= rows), default=min(sizes))
    at_size = [choice for choice in measured if choice["batch"] == size]
    return max(at_size, key=lambda choice: choice.get("items_per_s", 0.0))


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
