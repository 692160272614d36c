"""The cluster's nodes in JSON."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, with_config
from typing_extensions import TypedDict

from helix_ray.core.views.nodes import NodeView, StatusView
from helix_ray.wire.times import iso, iso_or_none
from helix_ray.wire.values import CLOSED, UsageJson


@with_config(CLOSED)
class MasterNode(TypedDict):
    """The control plane; `uptime` in whole seconds since the start of this master (a
    restart begins an epoch)."""

    id: Annotated[str, Field(examples=["helix-master"])]
    status: Annotated[str, Field(examples=["active"])]
    uptime: int
    started_at: str
    epoch: int


@with_config(CLOSED)
class NodeLine(TypedDict):
    """The summary of a node; `current_load` is the measured busy share of its
    processors, null where unknown."""

    id: Annotated[str, Field(examples=["worker-local-1"])]
    status: Annotated[str, Field(examples=["active", "draining", "resting", "lost"])]
    tasks_completed: int
    current_load: float | None


@with_config(CLOSED)
class ClusterStatusOut(TypedDict):
    """The master and all nodes; the master counts as a node."""

    master_node: MasterNode
    worker_nodes: list[NodeLine]
    total_nodes: int
    active_nodes: int


@with_config(CLOSED)
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
    usage: UsageJson
    running: list[str]
    running_total: int
    tasks_failed: int
    draining: bool
    lost_at: list[str]
    rests_until: str | None
    held_for: str | None
    last_heartbeat: str
    registered_at: str


@with_config(CLOSED)
class NodesOut(TypedDict):
    """All nodes."""

    nodes: list[NodeOut]


def status_out(view: StatusView) -> ClusterStatusOut:
    """Return the cluster's status with ISO times."""
    master = view["master_node"]
    shown: MasterNode = {
        **master, "uptime": int(master["uptime"]), "started_at": iso(master["started_at"]),
    }  # fmt: skip
    return {**view, "master_node": shown}


def node_out(view: NodeView) -> NodeOut:
    """Return a node with ISO times."""
    return {
        **view,
        "lost_at": [iso(at) for at in view["lost_at"]],
        "rests_until": iso_or_none(view["rests_until"]),
        "last_heartbeat": iso(view["last_heartbeat"]),
        "registered_at": iso(view["registered_at"]),
    }
