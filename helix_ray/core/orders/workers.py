"""Orders about workers, those of nodes among them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from helix_ray.core.access import ADMINS, SYSTEM_ONLY, WORKERS
from helix_ray.core.orders.kind import OrderKind


@dataclass(frozen=True, slots=True)
class RegisterWorker(OrderKind):
    """A worker comes up. A node worker names its node; the same id with another
    boot revokes its old leases."""

    allowed = WORKERS
    needs_key = True

    hostname: str
    capabilities: tuple[str, ...]
    resources: dict[str, Any]
    worker_id: str | None = None
    kind: str = "external"
    node_id: str | None = None
    boot: str = ""
    labels: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Heartbeat(OrderKind):
    """A worker is alive. For an external worker the receipt carries the task it should do, if any."""

    allowed = WORKERS
    needs_key = False  # a worker that has a task is given the same one again

    worker_id: str
    status: str | None = None
    current_task: str | None = None
    usage: dict[str, Any] = field(default_factory=dict)
    boot: str | None = None
    # Counts up in one life of a worker: an older one that comes late is no sign of life.
    number: int | None = None


@dataclass(frozen=True, slots=True)
class DrainWorker(OrderKind):
    """Give a worker no more work, or give it work again."""

    allowed = ADMINS
    needs_key = True

    worker_id: str
    draining: bool = True


@dataclass(frozen=True, slots=True)
class RetireWorkers(OrderKind):
    """Forget workers that have been lost for longer than the policy keeps them."""

    allowed = SYSTEM_ONLY
    needs_key = False  # who is gone is gone

    worker_ids: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class RemoveWorker(OrderKind):
    """Forget an external worker, or a node that is lost or drained; what it holds is queued again."""

    allowed = ADMINS
    needs_key = True

    worker_id: str


@dataclass(frozen=True, slots=True)
class LoseWorker(OrderKind):
    """Take a silent or dead worker's attempts away from it."""

    allowed = SYSTEM_ONLY
    needs_key = True

    worker_id: str
    reason: str
