"""What a tuning measures, and how it chooses: for each batch, provider and number of threads the fastest
variant, with CUDA graphs or without.

It is chosen where its speed is above that of FP32 without graphs beyond doubt, and that everywhere else.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NotRequired, TypedDict

from helix_ray.inference.node_class import Machine
from helix_ray.inference.sessions import SessionPlan
from helix_ray.inference.variants import FP32, TF32, GateBounds, TensorShape, Variant

__all__ = [
    "BATCHES",
    "GAIN_MIN",
    "LARGE_BATCHES",
    "Choice",
    "TrialRow",
    "TuningJob",
    "TuningReport",
    "choose",
    "choose_by_name",
    "is_reference",
    "named",
    "unmeasured",
]

BATCHES = (1, 16, 128)
"""Batch sizes that are measured where a model takes any."""

LARGE_BATCHES = (1024,)
"""Those that are measured besides on providers other than the CPU's: a GPU is not busy with fewer rows."""

GAIN_MIN = 1.03
"""The lower end of a variant's ratio to FP32 must reach this; less is not worth another arithmetic."""

LOSS_MAX = 0.05
"""A variant that needs less CPU time is not chosen where it takes so much longer beyond doubt."""

TUNING_S = 120.0
TUNING_MEMORY_MB = 4096

SLOWER = "slower than FP32"
SLOWER_BY_THE_CLOCK = "less CPU time than FP32, but slower by the clock"
NOT_FASTER = f"not faster than FP32 beyond doubt: its interval begins below {GAIN_MIN:g}"
MADE_ROWS_ONLY = "INT8 that was judged on made rows alone: give held-out rows, or ask for precision int8"
OTHER_IS_FASTER = "is faster"
IN_EXAMINATION = "in the examination"


@dataclass(frozen=True, slots=True)
class TuningJob:
    """What to tune: the variants of a version, its inputs and its batch, as the examination reported them.

    `batch` is None where only the shapes of the inputs are known, which may promise what the model does not
    do. `heldout` is the digest of an .npz file with rows; without it they are made. `node_class` is the class
    that the report is for, that of this machine by default; `cpus` is what this process was assigned.
    Providers are those of this process, the simulated ones left out. `time_limit_s` bounds everything,
    `memory_mb` the child.
    """

    variants: Sequence[Variant]
    inputs: Sequence[TensorShape]
    heldout: str | None = None
    batches: Sequence[int] = BATCHES
    time_limit_s: float = TUNING_S
    node_class: str | None = None
    cpus: float | None = None
    bounds: GateBounds = field(default_factory=GateBounds)
    memory_mb: int = TUNING_MEMORY_MB
    batch: str | None = None


class TrialRow(TypedDict):
    """One line of the evidence: a candidate at one batch size. `cuda_graph` is there where it is true.

    `items_per_s` is by the wall clock, `cpu_items_per_s` by the CPU time of the process. `ratio` is to FP32
    with the same provider and threads and without graphs in the same `n` rounds, by CPU time on the CPU and
    by the wall clock elsewhere; `low` and `high` are its interval of 95 %. `wall_ratio` is by the wall clock,
    and `wall_high` the upper end of its interval: beside other tasks the clock tells little. All are null
    where it was not measured. `why_not` says why it is not the choice.
    """

    variant: str
    provider: str
    threads: int
    batch: int
    items_per_s: float | None
    cpu_items_per_s: float | None
    n: int
    ratio: float | None
    low: float | None
    high: float | None
    wall_ratio: float | None
    wall_high: float | None
    why_not: str | None
    cuda_graph: NotRequired[bool]


class Choice(TypedDict):
    """What to run a batch of this size with; its ratio to FP32 of the same run, and its interval.

    `only_by_name`: it is for tasks that ask for its precision, and no others.
    """

    batch: int
    variant: str
    provider: str
    threads: int
    ratio: float
    low: float
    high: float
    items_per_s: float
    only_by_name: NotRequired[bool]
    cuda_graph: NotRequired[bool]


class TuningReport(TypedDict):
    """What a tuning found. Of the choices of a batch, the first is the fastest; `machine` is what the class
    stands for, `data` says whether the rows were given or made."""

    node_class: str
    machine: Machine
    choices: list[Choice]
    rows: list[TrialRow]
    data: str
    seconds: float


def choose(rows: Iterable[TrialRow]) -> list[Choice]:
    """Return the choice of each batch, provider and number of threads, and write why not into the other rows.

    Where FP32 itself was not measured, nothing is chosen. FP32 is chosen where no variant is faster beyond
    doubt.
    """
    groups: dict[tuple[int, str, int], list[TrialRow]] = {}
    for row in rows:
        groups.setdefault((row["batch"], row["provider"], row["threads"]), []).append(row)
    found = [choice for group in groups.values() if (choice := _best(group)) is not None]
    return sorted(found, key=lambda choice: (choice["batch"], -choice["items_per_s"]))


def choose_by_name(rows: Iterable[TrialRow], chosen: Iterable[Choice]) -> list[Choice]:
    """Return the fastest measured variant of each precision that has no choice of its own, for each batch,
    provider and number of threads of the choices.

    A task that asks for the precision runs it where it is fastest, and only where its outputs were proven.
    """
    groups = {(each["batch"], each["provider"], each["threads"]): each["variant"] for each in chosen}
    best: dict[tuple[int, str, int, str], TrialRow] = {}
    for row in rows:
        group = (row["batch"], row["provider"], row["threads"])
        precision = row["variant"].partition("-")[0]
        if group not in groups or groups[group].partition("-")[0] == precision or precision == TF32:
            continue
        rate, key = row["items_per_s"], (*group, precision)
        if rate is not None and (key not in best or rate > (best[key]["items_per_s"] or 0.0)):
            best[key] = row
    return [{**_choice(row), "only_by_name": True} for row in best.values()]


def _best(group: Sequence[TrialRow]) -> Choice | None:
    reference = next((row for row in group if is_reference(row)), None)
    if reference is None or reference["items_per_s"] is None:
        return None
    best = reference
    for row in group:
        if row is not reference and row["why_not"] is None:
            row["why_not"] = _why_not(row)
            if row["why_not"] is None and (row["ratio"] or 0.0) > (best["ratio"] or 0.0):
                best = row
    for row in group:
        if row is not best and row["why_not"] is None:
            row["why_not"] = f"{named(best)} {OTHER_IS_FASTER}"
    return _choice(best)


def unmeasured(name: str, plan: SessionPlan, batch: int, why_not: str | None) -> TrialRow:
    """Return the row of a candidate without a measurement, and the reason where one is known."""
    row: TrialRow = {
        "variant": name, "provider": plan.provider, "threads": plan.threads, "batch": batch,
        "items_per_s": None, "cpu_items_per_s": None, "n": 0, "ratio": None, "low": None, "high": None,
        "wall_ratio": None, "wall_high": None, "why_not": why_not,
    }  # fmt: skip
    return {**row, "cuda_graph": True} if plan.cuda_graph else row


def is_reference(row: TrialRow) -> bool:
    """Say whether a row is what its ratios are to: FP32 without graphs."""
    return row["variant"] == FP32 and not row.get("cuda_graph", False)


def named(row: Mapping[str, Any]) -> str:
    """Return what a row or a choice is called: its variant, and whether it runs with CUDA graphs."""
    return f"{row['variant']} with CUDA graphs" if row.get("cuda_graph", False) else str(row["variant"])


def _why_not(row: TrialRow) -> str | None:
    if row["low"] is None or row["high"] is None:
        return "not measured"
    if row["high"] < 1.0:
        return SLOWER
    if row["low"] < GAIN_MIN:
        return NOT_FASTER
    return SLOWER_BY_THE_CLOCK if (row["wall_high"] or 0.0) < 1 - LOSS_MAX else None


def _choice(row: TrialRow) -> Choice:
    found: Choice = {
        "batch": row["batch"],
        "variant": row["variant"],
        "provider": row["provider"],
        "threads": row["threads"],
        "ratio": row["ratio"] or 1.0,
        "low": row["low"] or 1.0,
        "high": row["high"] or 1.0,
        "items_per_s": row["items_per_s"] or 0.0,
    }
    return {**found, "cuda_graph": True} if row.get("cuda_graph", False) else found
