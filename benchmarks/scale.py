"""How much of everything a run does: the full run, or the short one that shows that it works."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Scale:
    """Rounds of each comparison, seconds of each load, tasks and nodes of each count."""

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
    placement_nodes: tuple[int, ...]
    placement_rounds: int
    queue_nodes: int
    queue_tasks: int
    explain_nodes: int
    list_nodes: int
    raylets: tuple[int, ...]
    raylet_rounds: int
    raylet_noops: int
    raylet_waits: int
    inference_rows: int
    inference_rounds: int
    start_rounds: int
    start_nodes: tuple[int, ...]
    sync_devices: int
    sync_s: float
    webhook_chaos_events: int
    audit_records: int
    audited_tasks: int
    audit_folder: Path | None = None


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
    placement_nodes=(100, 1_000, 10_000),
    placement_rounds=3,
    queue_nodes=200,
    queue_tasks=20_000,
    explain_nodes=5_000,
    list_nodes=10_000,
    raylets=(1, 2, 4),
    raylet_rounds=3,
    raylet_noops=5_000,
    raylet_waits=500,
    inference_rows=100_000,
    inference_rounds=3,
    start_rounds=5,
    start_nodes=(1, 3, 8),
    sync_devices=10_000,
    sync_s=20.0,
    webhook_chaos_events=5_000,
    audit_records=1_000_000,
    audited_tasks=40_000,
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
    placement_nodes=(50, 200),
    placement_rounds=1,
    queue_nodes=20,
    queue_tasks=1_000,
    explain_nodes=200,
    list_nodes=200,
    raylets=(1, 2),
    raylet_rounds=1,
    raylet_noops=1_000,
    raylet_waits=100,
    inference_rows=10_000,
    inference_rounds=1,
    start_rounds=1,
    start_nodes=(1,),
    sync_devices=200,
    sync_s=0.5,
    webhook_chaos_events=100,
    audit_records=20_000,
    audited_tasks=4_000,
)
