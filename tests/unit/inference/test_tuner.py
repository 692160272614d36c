"""The choice follows from the evidence: a variant only where it is faster beyond doubt."""

from __future__ import annotations

from typing import Any

import pytest

from helix_ray.inference.providers import CPU, CUDA
from helix_ray.inference.tuner import TrialRow, choose


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
