"""The nodes of the cluster as questions are answered with them."""

from __future__ import annotations

from typing import TypedDict

from helix_ray.core.specs import Usage


class MasterView(TypedDict):
    """The control plane; `uptime` in seconds since this epoch's master started."""

    id: str
    status: str
    uptime: float
    started_at: float
    epoch: int


class NodeLineView(TypedDict):
    """A node in short; `current_load` is the busy share of its processors, None where it is not known."""

    id: str
    status: str
    tasks_completed: int
    current_load: float | None


class StatusView(TypedDict):
    """The master and all nodes; the master counts as a node."""

    master_node: MasterView
    worker_nodes: list[NodeLineView]
    total_nodes: int
    active_nodes: int


class NodeView(NodeLineView):
    """A node, whole; amounts by resource name."""

    hostname: str
    node_id: str | None
    resources: dict[str, float]
    free: dict[str, float]
    allocated: dict[str, float]
    foreign: dict[str, float]
    simulated: list[str]
    capabilities: list[str]
    labels: dict[str, str]
    usage: Usage
    running: list[str]
    running_total: int
    tasks_failed: int
    draining: bool
    lost_at: list[float]
    rests_until: float | None
    held_for: str | None
    last_heartbeat: float
    registered_at: float


class NodesView(TypedDict):
    """All nodes."""

    nodes: list[NodeView]
