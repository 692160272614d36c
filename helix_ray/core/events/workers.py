"""Facts about workers, of the cluster's nodes and external ones."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any


@dataclass(slots=True)
class WorkerRegistered:
    """A worker is known, with what it offers."""

    id: str
    kind: str
    owner: str
    hostname: str
    capabilities: list[str]
    resources: dict[str, Any]
    labels: dict[str, str] = field(default_factory=dict)
    node_id: str | None = None
    boot: str = ""


@dataclass(slots=True)
class WorkerDrained:
    """A worker gets no more work (or does again)."""

    id: str
    draining: bool


@dataclass(slots=True)
class WorkerLost:
    """A worker is gone; its attempts were taken away by facts beside this one."""

    id: str
    reason: str


@dataclass(slots=True)
class WorkerRetired:
    """A worker that was lost long ago is forgotten."""

    id: str
