"""Workers as questions are answered with them."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypedDict

from helix_ray.core.device_usage import with_whole_devices
from helix_ray.core.liveness import Pulse
from helix_ray.core.specs import Offer, Usage
from helix_ray.core.state import Worker


class WorkerView(TypedDict):
    """One worker; `status` is lost, draining, busy or idle."""

    id: str
    hostname: str
    kind: str
    status: str
    last_heartbeat: float
    capabilities: list[str]
    resources: Offer
    usage: Usage
    labels: dict[str, str]
    node_id: str | None
    registered_at: float
    running: list[str]
    running_total: int
    tasks_completed: int
    tasks_failed: int


class WorkersView(TypedDict):
    """All workers."""

    workers: list[WorkerView]


def worker_view(worker: Worker, pulse: Pulse | None, visible: Callable[[str], bool]) -> WorkerView:
    """Return one worker; `visible` says which of its tasks the reader may see."""
    status = "busy" if worker.running else "idle"
    if worker.lost:
        status = "lost"
    elif worker.draining:
        status = "draining"
    return {
        "id": worker.id,
        "hostname": worker.hostname,
        "kind": worker.kind,
        "status": status,
        "last_heartbeat": pulse.wall if pulse is not None and pulse.wall else worker.registered_at,
        "capabilities": sorted(worker.capabilities),
        "resources": worker.resources,
        "usage": with_whole_devices(pulse.usage) if pulse is not None else {},
        "labels": worker.labels,
        "node_id": worker.node_id,
        "registered_at": worker.registered_at,
        "running": sorted(filter(visible, worker.running))[:100],
        "running_total": len(worker.running),
        "tasks_completed": worker.completed,
        "tasks_failed": worker.failed,
    }
