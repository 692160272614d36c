"""Workers in JSON: requests of external workers, and responses about all workers."""

from __future__ import annotations

from typing import Annotated, NotRequired, Required

from pydantic import AfterValidator, Field, TypeAdapter, with_config
from typing_extensions import TypedDict

from helix_ray.core.limits import Allowance
from helix_ray.core.names import HOSTNAME_CHARS_MAX, WORD_PATTERN, WORKER_ID_CHARS_MAX
from helix_ray.core.orders.workers import HeartbeatData
from helix_ray.core.pace import LEASE_FRACTION, stretched
from helix_ray.core.spec_shape import CAPABILITIES_MAX
from helix_ray.core.views.workers import WorkerView
from helix_ray.wire.runs import given
from helix_ray.wire.tasks import Labels
from helix_ray.wire.times import iso
from helix_ray.wire.values import CLOSED, STRICT, Id, UsageJson, Word, adapter, strict

RESOURCES_MAX = 64
# Amounts are floats: a larger integer could be rounded to an allowed one.
AMOUNT_MAX = 2**53 - 1

Amount = Annotated[float, Field(ge=0, le=AMOUNT_MAX)]
# `true` means one, as in the API reference for GPUs.
Resource = bool | Amount | None
Resources = Annotated[dict[Word, Resource], Field(max_length=RESOURCES_MAX)]
# A measured value may be negative (a temperature) or a string (a device's name).
Usage = Annotated[
    dict[Word, bool | Annotated[float, Field(ge=-AMOUNT_MAX, le=AMOUNT_MAX)] | Id | None],
    Field(max_length=RESOURCES_MAX),
]


@with_config(
    strict(
        hostname="worker-node-1",
        capabilities=["planning", "building", "testing"],
        resources={"cpu": 8, "memory": 16384, "gpu": True},
    )
)
class WorkerIn(TypedDict, total=False):
    """An external worker to register; with `worker_id` and `boot` it returns as the same worker."""

    hostname: Required[Annotated[str, Field(max_length=HOSTNAME_CHARS_MAX, pattern=WORD_PATTERN)]]
    capabilities: Required[Annotated[list[Word], Field(max_length=CAPABILITIES_MAX)]]
    resources: Resources | None
    labels: Labels | None
    worker_id: Annotated[str, Field(max_length=WORKER_ID_CHARS_MAX, pattern=WORD_PATTERN)] | None
    boot: Id | None


@with_config(
    strict(
        worker_id="worker-789",
        status="idle",
        current_task=None,
        resources={"cpu_usage": 15.5, "memory_usage": 4096},
    )
)
class HeartbeatIn(TypedDict, total=False):
    """A worker's heartbeat. One that is `idle` and names no current task may be assigned a task."""

    worker_id: Required[Id]
    status: Annotated[str, Field(pattern=r"^[a-z][a-z_-]{0,31}$")] | None
    current_task: Id | None
    resources: Usage | None
    boot: Id | None


@with_config(STRICT)
class DrainIn(TypedDict, total=False):
    """Whether to drain a worker."""

    draining: bool


@with_config(CLOSED)
class WorkerRegisteredOut(TypedDict):
    """The answer to a registration."""

    worker_id: Annotated[str, Field(examples=["worker-789"])]
    registered_at: str


@with_config(CLOSED)
class HeartbeatOut(TypedDict):
    """What the worker must do, and in how many seconds its next heartbeat is due; the lease ends at
    `lease_expires_at` unless another heartbeat comes."""

    acknowledged: bool
    assigned_task: str | None
    next_heartbeat_s: float
    attempt: NotRequired[int | None]
    lease_expires_at: NotRequired[str | None]


@with_config(CLOSED)
class WorkerOut(TypedDict):
    """A worker: a node of the cluster (`kind` node) or an external one."""

    id: str
    hostname: str
    kind: str
    status: Annotated[str, Field(examples=["idle", "busy", "draining", "lost"])]
    last_heartbeat: str
    capabilities: list[str]
    resources: dict[str, float | bool | None]
    usage: UsageJson
    labels: dict[str, str]
    node_id: str | None
    registered_at: str
    running: list[str]
    running_total: int
    tasks_completed: int
    tasks_failed: int


@with_config(CLOSED)
class WorkersOut(TypedDict):
    """All workers."""

    workers: list[WorkerOut]


@with_config(CLOSED)
class DrainOut(TypedDict):
    """Whether a worker is draining."""

    worker_id: str
    draining: bool


WORKER: TypeAdapter[WorkerIn] = adapter(Annotated[WorkerIn, AfterValidator(given)])
HEARTBEAT: TypeAdapter[HeartbeatIn] = adapter(Annotated[HeartbeatIn, AfterValidator(given)])
DRAIN: TypeAdapter[DrainIn] = adapter(DrainIn)


def worker_out(view: WorkerView) -> WorkerOut:
    """Return a worker's view with ISO times."""
    return {
        **view,
        "last_heartbeat": iso(view["last_heartbeat"]),
        "registered_at": iso(view["registered_at"]),
    }


def heartbeat_out(data: HeartbeatData, lease_s: float, allowance: Allowance) -> HeartbeatOut:
    """Return the answer to a heartbeat with ISO times, its pace reduced to the caller's rate limit."""
    # Only answers to the cluster's own workers have no pace.
    pace_s = data.get("next_heartbeat_s", lease_s * LEASE_FRACTION)
    answer: HeartbeatOut = {
        "acknowledged": data["acknowledged"],
        "assigned_task": data["assigned_task"],
        "next_heartbeat_s": stretched(pace_s, lease_s, allowance, data.get("sharers", 1)),
    }
    if "attempt" in data:
        answer["attempt"] = data["attempt"]
        answer["lease_expires_at"] = iso(data["lease_expires_at"])
    return answer
