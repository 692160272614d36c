"""Facts about workers, of the cluster's nodes and external ones."""

from __future__ import annotations

from dataclasses import dataclass, field

from helix_ray.core.specs import Offer


@dataclass(slots=True)
class WorkerRegistered:
    """A worker registered with its offer."""

    id: str
    kind: str
    owner: str
    hostname: str
    capabilities: list[str]
    resources: Offer
    labels: dict[str, str] = field(default_factory=dict)
    node_id: str | None = None
    boot: str = ""


@dataclass(slots=True)
class WorkerDrained:
    """A worker was drained or undrained."""

    id: str
    draining: bool


@dataclass(slots=True)
class WorkerLost:
    """A worker was lost; other facts of the same order requeue its tasks."""

    id: str
    reason: str


@dataclass(slots=True)
class WorkerRetired:
    """A worker that was lost long ago was removed."""

    id: str
