"""Orders about workers, both node workers and external ones."""

from __future__ import annotations

from dataclasses import KW_ONLY, dataclass, field
from typing import NotRequired, TypedDict

from helix_ray.core.access import OPERATORS, SYSTEM_ONLY, WORKERS
from helix_ray.core.orders.kind import NoData, OrderKind
from helix_ray.core.specs import Offer, Usage
from helix_ray.core.state import State
from helix_ray.core.weight import TAKEN_AWAY_TASKS, weight_of_worker


class RegisteredData(TypedDict):
    """The worker's id, and when it was registered (epoch seconds)."""

    worker_id: str
    registered_at: float


class HeartbeatData(TypedDict):
    """The task of the worker, if any. Only external workers are told when the next heartbeat is due, and how
    many workers share the caller's rate limit."""

    acknowledged: bool
    assigned_task: str | None
    attempt: NotRequired[int]
    lease_expires_at: NotRequired[float]
    next_heartbeat_s: NotRequired[float]
    sharers: NotRequired[int]


class WorkerIdData(TypedDict):
    """The worker that the order was about."""

    worker_id: str


class DrainedData(WorkerIdData):
    """Whether the worker is draining."""

    draining: bool


class RemovedData(TypedDict):
    """How many workers were removed."""

    removed: int


@dataclass(frozen=True, slots=True)
class RegisterWorker(OrderKind[RegisteredData]):
    """Register a worker. A node worker names its node; the same id with another
    boot revokes the old leases."""

    allowed = WORKERS
    needs_key = True

    hostname: str
    capabilities: tuple[str, ...]
    resources: Offer
    _: KW_ONLY
    worker_id: str | None = None
    kind: str = "external"
    node_id: str | None = None
    boot: str = ""
    labels: dict[str, str] = field(default_factory=dict)
    # Subject and SHA-256 of the client certificate that it showed.
    certificate: dict[str, str] | None = None

    def work(self) -> int:
        """Return what a restarted node may have run."""
        return TAKEN_AWAY_TASKS if self.kind == "node" else 1

    def work_in(self, state: State) -> int:
        """Count what the worker runs."""
        return weight_of_worker(state, self.worker_id)


@dataclass(frozen=True, slots=True)
class Heartbeat(OrderKind[HeartbeatData]):
    """Record a heartbeat. For an external worker the receipt contains its assigned task, if any."""

    allowed = WORKERS
    needs_key = False  # a worker that has a task gets the same one again

    worker_id: str
    status: str | None = None
    _: KW_ONLY
    current_task: str | None = None
    usage: Usage = field(default_factory=Usage)
    boot: str | None = None
    # Counts heartbeats in one boot of a worker: an older one that comes late is ignored.
    number: int | None = None


@dataclass(frozen=True, slots=True)
class DrainWorker(OrderKind[DrainedData]):
    """Drain or undrain a worker."""

    allowed = OPERATORS
    needs_key = True

    worker_id: str
    draining: bool = True


@dataclass(frozen=True, slots=True)
class RemoveLostWorkers(OrderKind[RemovedData]):
    """Remove workers that have been lost for longer than the policy's limit."""

    allowed = SYSTEM_ONLY
    needs_key = False  # workers that are gone are left out

    worker_ids: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class RemoveWorker(OrderKind[WorkerIdData]):
    """Remove an external worker, or a lost or drained node; its tasks are queued again."""

    allowed = OPERATORS
    needs_key = True

    worker_id: str

    def work(self) -> int:
        """Return what the worker may have run."""
        return TAKEN_AWAY_TASKS

    def work_in(self, state: State) -> int:
        """Count what the worker runs."""
        return weight_of_worker(state, self.worker_id)


@dataclass(frozen=True, slots=True)
class LoseWorker(OrderKind[NoData]):
    """Declare a silent or dead worker lost, and revoke its attempts."""

    allowed = SYSTEM_ONLY
    needs_key = True

    worker_id: str
    reason: str

    def work_in(self, state: State) -> int:
        """Count what the worker runs."""
        return weight_of_worker(state, self.worker_id)


@dataclass(frozen=True, slots=True)
class CrossThreshold(OrderKind[NoData]):
    """Record that a figure of a node's host has crossed a limit."""

    allowed = SYSTEM_ONLY
    needs_key = False  # the level that it has already is left as it is

    worker_id: str
    figure: str
    level: str
    value: float | None
    limit: float | None
    for_s: float
