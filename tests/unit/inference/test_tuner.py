"""The choice follows from the evidence: a variant only where it is faster beyond doubt."""

from __future__ import annotations

from typing import Any

import pytest

from helix_ray.inference.providers import CPU, CUDA
from helix_ray.inference.sessions import SessionPlan
from helix_ray.inference.threads import usable_threads
from helix_ray.inference.tuner import Choice, TrialRow, choose, pick, session_plan


def row(variant: str, low: float, ratio: float, high: float, **more: Any) -> TrialRow:
    found: dict[str, Any] = {
        "variant": variant, "provider": CPU, "threads": 1, "batch": 1, "items_per_s": 100 * ratio,
        "cpu_items_per_s": 100 * ratio, "n": 15, "ratio": ratio, "low": low, "high": high,
        "wall_ratio": ratio, "why_not": None,
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
        ([row("int8-static", 1.2, 1.3, 1.4, wall_ratio=0.9)], "fp32", {"int8-static": "slower by the clock"}),
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


def choices() -> list[Choice]:
    """A node with two CPUs and a GPU, measured at batches of 1, 16 and 128."""
    found: list[TrialRow] = []
    for batch, gpu_rate in ((1, 50.0), (16, 800.0), (128, 9000.0)):
        for threads, rate in ((1, 100.0), (2, 150.0)):
            found += [
                row("fp32", 1, 1, 1, batch=batch, threads=threads, items_per_s=rate),
                row("int8-static", 1.8, 2, 2.1, batch=batch, threads=threads, items_per_s=2 * rate),
            ]
        found += [
            row("fp32", 1, 1, 1, batch=batch, provider=CUDA, items_per_s=gpu_rate / 2),
            row("fp16", 1.9, 2, 2.1, batch=batch, provider=CUDA, items_per_s=gpu_rate),
        ]
    return choose(found)


@pytest.mark.parametrize(
    ("batch", "cpus", "providers", "expected"),
    [
        (1, 1, {CPU}, (1, "int8-static", CPU, 1)),
        (1, 2, {CPU}, (1, "int8-static", CPU, 2)),
        (1, 2, {CPU, CUDA}, (1, "int8-static", CPU, 2)),
        (64, 2, {CPU, CUDA}, (16, "fp16", CUDA, 1)),
        (5000, 2, {CPU, CUDA}, (128, "fp16", CUDA, 1)),
        (5000, 2, {CPU}, (128, "int8-static", CPU, 2)),
        (0, 0, {CPU}, (1, "int8-static", CPU, 1)),
    ],
)
def test_the_choice_belongs_to_the_batch_and_to_what_a_process_may_use(
    batch: int, cpus: int, providers: set[str], expected: tuple[int, str, str, int]
) -> None:
    """On one node batch 1 stays on the CPU and large batches go to the GPU; an executor without it never
    gets it."""
    found = pick(choices(), batch, cpus, providers)
    assert found is not None
    assert (found["batch"], found["variant"], found["provider"], found["threads"]) == expected


def test_nothing_is_picked_where_nothing_was_measured() -> None:
    """Another provider's evidence does not count."""
    assert pick([], 1, 1, {CPU}) is None
    assert pick(choices(), 1, 1, {"OpenVINOExecutionProvider"}) is None


def test_a_process_with_more_cpus_than_were_measured_uses_them() -> None:
    """The threads of a choice count where fewer were faster; else as many run as the CPUs allow."""
    found = choices()
    (one,) = [each for each in found if (each["batch"], each["provider"], each["threads"]) == (1, CPU, 1)]
    (two,) = [each for each in found if (each["batch"], each["provider"], each["threads"]) == (1, CPU, 2)]
    assert session_plan(found, one, None) == SessionPlan(CPU, 1)
    assert session_plan(found, two, None) == SessionPlan(CPU, usable_threads())
    tf32: Choice = {**two, "variant": "tf32", "provider": CUDA}
    assert session_plan([tf32], tf32, 1.0) == SessionPlan(CUDA, 1, tf32=True)
