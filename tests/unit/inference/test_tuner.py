"""The choice follows from the evidence: a variant only where it is faster beyond doubt."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from onnx import helper
from onnxruntime import InferenceSession

from helix_ray.inference.candidate import NamedRows
from helix_ray.inference.providers import CPU, CUDA
from helix_ray.inference.sessions import SessionPlan
from helix_ray.inference.trial_batches import batches_of
from helix_ray.inference.trials import Trials
from helix_ray.inference.tuner import BATCHES, TrialRow, TuningJob, choose, choose_by_name
from tests.unit.inference.onnx_models import linear, model, value


def row(variant: str, low: float, ratio: float, high: float, **more: Any) -> TrialRow:
    found: dict[str, Any] = {
        "variant": variant, "provider": CPU, "threads": 1, "batch": 1, "items_per_s": 100 * ratio,
        "cpu_items_per_s": 100 * ratio, "n": 15, "ratio": ratio, "low": low, "high": high,
        "wall_ratio": ratio, "wall_high": high, "why_not": None,
    }  # fmt: skip
    return {**found, **more}  # type: ignore[typeddict-item]


FP32 = row("fp32", 1.0, 1.0, 1.0)
INT8 = row("int8-static", 1.8, 1.95, 2.0)


@pytest.mark.parametrize(
    ("others", "chosen", "why"),
    [
        ([INT8], "int8-static", {"fp32": "int8-static is faster", "int8-static": None}),
        ([row("fp16", 0.95, 1.0, 1.05)], "fp32", {"fp16": "not faster than FP32 beyond doubt"}),
        ([row("fp16-storage", 1.005, 1.01, 1.02)], "fp32", {"fp16-storage": "begins below 1.03"}),
        ([row("int8-dynamic", 0.1, 0.12, 0.13)], "fp32", {"int8-dynamic": "slower than FP32"}),
        ([row("int8-static", 0.5, 3.0, 9.0)], "fp32", {"int8-static": "not faster than FP32 beyond doubt"}),
        ([row("int8-static", 1.2, 1.3, 1.4, wall_high=0.9)], "fp32", {"int8-static": "slower by the clock"}),
        ([row("int8-static", 1.2, 1.3, 1.4, wall_ratio=0.9)], "int8-static", {"int8-static": None}),
        ([row("int8-static", 1.8, 1.9, 2.0, why_not="judged on made rows")], "fp32", {"fp32": None}),
        ([row("int8-static", 1.2, 1.3, 1.4), row("int8-dynamic", 1.5, 1.6, 1.7)], "int8-dynamic",
         {"int8-static": "int8-dynamic is faster"}),
    ],
)  # fmt: skip
def test_a_variant_is_chosen_only_where_it_wins(
    others: list[TrialRow], chosen: str, why: dict[str, str | None]
) -> None:
    """The lower end of its interval must be above 1.03, by CPU time, and the clock must agree; else FP32
    stays."""
    rows: list[TrialRow] = [{**FP32}, *({**other} for other in others)]
    (choice,) = choose(rows)
    assert choice["variant"] == chosen
    for each in rows:
        wanted = why.get(each["variant"], each["why_not"])
        assert each["why_not"] == wanted or (wanted or "?") in (each["why_not"] or "")
    assert [each["variant"] for each in rows if each["why_not"] is None] == [chosen]
    assert choice["low"] > 0.95


def test_nothing_is_chosen_where_fp32_was_not_measured() -> None:
    """Without the reference there is no ratio to trust."""
    unmeasured: TrialRow = {**FP32, "items_per_s": None, "why_not": "not measured"}
    assert choose([unmeasured, {**INT8}]) == []
    assert choose([]) == []


def test_the_fastest_choice_of_a_batch_comes_first() -> None:
    """Each provider and number of threads has its own reference and its own choice."""
    found: list[TrialRow] = []
    for threads, rate in ((1, 100.0), (2, 150.0)):
        found += [
            row("fp32", 1, 1, 1, threads=threads, items_per_s=rate),
            row("int8-static", 1.8, 2, 2.1, threads=threads, items_per_s=2 * rate),
        ]
    found += [
        row("fp32", 1, 1, 1, provider=CUDA, items_per_s=5.0),
        row("fp16", 1.9, 2, 2.1, provider=CUDA, items_per_s=10.0),
    ]
    ordered = [(each["variant"], each["provider"], each["threads"]) for each in choose(found)]
    assert ordered == [("int8-static", CPU, 2), ("int8-static", CPU, 1), ("fp16", CUDA, 1)]


def test_what_was_not_chosen_is_kept_for_tasks_that_ask_for_its_precision() -> None:
    """The fastest measured variant of each other precision, never one whose outputs were not proven."""
    rows = [
        row("fp32", 1, 1, 1, provider=CUDA, items_per_s=5.0),
        row("tf32", 1.9, 2, 2.1, provider=CUDA, items_per_s=10.0),
        row("fp16", 1.4, 1.5, 1.6, provider=CUDA, items_per_s=7.0),
        row("fp16-storage", 0.9, 1, 1.1, provider=CUDA, items_per_s=4.0),
        {**row("int8-static", 1, 1, 1, provider=CUDA), "items_per_s": None, "why_not": "its outputs differ"},
    ]
    chosen = choose(rows)
    assert [each["variant"] for each in chosen] == ["tf32"]
    kept = choose_by_name(rows, chosen)
    assert [(each["variant"], each["only_by_name"]) for each in kept] == [("fp32", True), ("fp16", True)]
    assert choose_by_name(rows, []) == []


def test_graphs_are_compared_with_fp32_without_them() -> None:
    """FP32 with CUDA graphs is a candidate like others, and is said where it wins."""
    fp32 = row("fp32", 1, 1, 1, provider=CUDA, items_per_s=5.0)
    graph = row("fp32", 2.9, 3, 3.1, provider=CUDA, items_per_s=15.0, cuda_graph=True)
    slow = row("fp16", 0.6, 0.7, 0.8, provider=CUDA, items_per_s=3.5)
    fast = row("fp16", 3.9, 4, 4.1, provider=CUDA, items_per_s=20.0, cuda_graph=True)
    (choice,) = choose([fp32, graph, slow])
    assert (choice["variant"], choice["cuda_graph"], choice["ratio"]) == ("fp32", True, 3)
    assert fp32["why_not"] == "fp32 with CUDA graphs is faster"
    rows = [{**fp32, "why_not": None}, {**graph}, {**slow}, {**fast}]
    (choice,) = choose(rows)
    assert (choice["variant"], choice["cuda_graph"]) == ("fp16", True)
    (kept,) = choose_by_name(rows, [choice])
    assert (kept["variant"], kept["cuda_graph"], kept["only_by_name"]) == ("fp32", True, True)
    assert choose([graph]) == []


def test_graphs_that_cannot_be_recorded_are_left_out_with_the_reason(tmp_path: Path) -> None:
    """And those that ended a process before this one are not tried again."""
    path = tmp_path / "model"
    path.write_bytes(linear().SerializeToString())
    plan, session = SessionPlan(CUDA), InferenceSession(path, providers=[CPU])
    variants: Any = [{"name": name, "digest": "model"} for name in ("fp32", "fp16")]
    trials = Trials(
        TuningJob(variants, []), tmp_path, lambda message: None, {f"fp16 {CUDA} graph": "signal 11"}
    )
    given = NamedRows({"x": np.ones((3, 8), np.float32)}, None, "given")
    opened: Any = {("fp32", plan): session, ("fp16", plan): session}
    assert trials._with_graphs(opened, given, "dynamic", 2) == {}
    reasons = {each["variant"]: each["why_not"] or "" for each in trials.rows if each["cuda_graph"]}
    assert "which this runtime does not have" in reasons["fp32"]
    assert reasons["fp16"] == "signal 11"


def test_large_batches_are_measured_where_a_device_computes() -> None:
    """A GPU is not busy with 128 small rows."""
    assert batches_of("dynamic", BATCHES, CPU, 256) == [1, 16, 128]
    assert batches_of("dynamic", BATCHES, CUDA, 256) == [1, 16, 128, 1024]
    assert batches_of("dynamic", BATCHES, CUDA, 150_528) == [1, 16, 128]
    assert batches_of("fixed 8", BATCHES, CUDA, 256) == [8]


def test_what_cannot_run_so_many_rows_is_left_out() -> None:
    """A device may have too little memory for a large batch: the reason stands in the evidence, also that of
    variants that are left without FP32 to be compared with."""
    plan, rows = SessionPlan(), np.zeros((4, 8), np.float32)
    takes_eight = InferenceSession(linear().SerializeToString(), providers=[CPU])
    anything = model([helper.make_node("Abs", ["x"], ["y"])], [value("x", None)], [value("y", None)])
    takes_all = InferenceSession(anything.SerializeToString(), providers=[CPU])
    both: Any = {("fp32", plan): takes_eight, ("fp16", plan): takes_all}
    trials = Trials(TuningJob([], [], None), Path(), lambda message: None)
    assert trials._able(both, {"x": rows}, 4) == both
    assert trials._able(both, {"x": rows[:, :7]}, 4) == {}
    reasons = {each["variant"]: each["why_not"] or "" for each in trials.rows}
    assert "the runtime cannot run it" in reasons["fp32"]
    assert reasons["fp16"] == "FP32 cannot run so many rows here"
