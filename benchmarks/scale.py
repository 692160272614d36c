"""How much of everything a run does: the full run, or the short one that shows that it works."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Scale:
    """Rounds of each comparison, seconds of each load, tasks of each count."""

    rounds: int
    load_s: float
    single_requests: int
    latency_tasks: int
    bulk_tasks: int
    noop_tasks: int
    anchor_tasks: int
    finished_tasks: int
    live_tasks: int
    few_tasks: int
    many_tasks: int


FULL = Scale(
    rounds=5,
    load_s=4.0,
    single_requests=1500,
    latency_tasks=300,
    bulk_tasks=100_000,
    noop_tasks=20_000,
    anchor_tasks=3_000,
    finished_tasks=1_000_000,
    live_tasks=10_000,
    few_tasks=1_000,
    many_tasks=1_000_000,
)
QUICK = Scale(
    rounds=3,
    load_s=1.0,
    single_requests=200,
    latency_tasks=50,
    bulk_tasks=20_000,
    noop_tasks=4_000,
    anchor_tasks=500,
    finished_tasks=20_000,
    live_tasks=1_000,
    few_tasks=1_000,
    many_tasks=20_000,
)
