"""The cluster's nodes in JSON."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict, Field, JsonValue

from helix_ray.wire.times import iso, iso_or_none

CLOSED = ConfigDict(extra="forbid")


class MasterNode(BaseModel):
    """The control plane; `uptime` in whole seconds since the start of this master (a
    restart begins an epoch)."""

    model_config = CLOSED

    id: str = Field(examples=["helix-master"])
    status: str = Field(examples=["active"])
    uptime: int
    started_at: str
    epoch: int


class NodeLine(BaseModel):
    """The summary of a node; `current_load` is the measured busy share of its
    processors, null where unknown."""

    model_config = CLOSED

    id: str = Field(examples=["worker-local-1"])
    status: str = Field(examples=["active", "draining", "resting", "lost"])
    tasks_completed: int
    current_load: float | None


class ClusterStatusOut(BaseModel):
    """The master and all nodes; the master counts as a node."""

    model_config = CLOSED

    master_node: MasterNode
    worker_nodes: list[NodeLine]
    total_nodes: int
    active_nodes: int


class NodeOut(NodeLine):
    """A node. `allocated` is used by our tasks, `foreign` by other programs on the Ray cluster; `simulated`
    names resources that are only logical."""

    hostname: str
    node_id: str | None
    resources: dict[str, float]
    free: dict[str, float]
    allocated: dict[str, float]
    foreign: dict[str, float]
    simulated: list[str]
    capabilities: list[str]
    labels: dict[str, str]
    usage: dict[str, JsonValue]
    running: list[str]
    running_total: int
    tasks_failed: int
    draining: bool
    lost_at: list[str]
    rests_until: str | None
    held_for: str | None
    last_heartbeat: str
    registered_at: str


class NodesOut(BaseModel):
    """All nodes."""

    model_config = CLOSED

    nodes: list[NodeOut]


def status_out(view: dict[str, Any]) -> dict[str, Any]:
    """Return the cluster's status with ISO times."""
    master = view["master_node"]
    shown = {**master, "uptime": int(master["uptime"]), "started_at": iso(master["started_at"])}
    return {**view, "master_node": shown}


def node_out(view: dict[str, Any]) -> dict[str, Any]:
    """Return a node with ISO times."""
    return {
        **view,
        "lost_at": [iso(at) for at in view["lost_at"]],
        "rests_until": iso_or_none(view["rests_until"]),
        "last_heartbeat": iso(view["last_heartbeat"]),
        "registered_at": iso(view["registered_at"]),
    }
