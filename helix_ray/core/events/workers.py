"""Facts about workers, of the cluster's nodes and external ones."""

from __future__ import annotations

from dataclasses import dataclass, field

from helix_ray.core.specs import Offer


@dataclass(slots=True)
class WorkerRegistered:
    """A worker registered with its offer; `certificate` is subject and SHA-256 of the client certificate that
    it showed."""

    id: str
    kind: str
    owner: str
    hostname: str
    capabilities: list[str]
    resources: Offer
    labels: dict[str, str] = field(default_factory=dict)
    node_id: str | None = None
    boot: str = ""
    certificate: dict[str, str] | None = None


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


@dataclass(slots=True)
class WorkerCrossedThreshold:
    """A figure of a node's host has been over a limit, or below it again, for `for_s` seconds: the `level`
    that holds from now on. `value` is the last one, `limit` the one that was crossed."""

    id: str
    figure: str
    level: str
    value: float | None
    limit: float | None
    for_s: float
