"""Answers questions about the nodes of the cluster."""

from __future__ import annotations

from collections.abc import Generator, Mapping

from helix_ray.core import questions as q
from helix_ray.core.access import Principal
from helix_ray.core.answers.named_tasks import NamedTasks
from helix_ray.core.answers.picture import Answerers, Picture, Steppers, whole
from helix_ray.core.device_usage import logical_resources, with_whole_devices
from helix_ray.core.errors import Rejected, not_found
from helix_ray.core.liveness import Pulse
from helix_ray.core.placement import Node
from helix_ray.core.placement.fit import external_usage_of, node_of, quarantined_until, unschedulable_why
from helix_ray.core.placement.node import slots_of
from helix_ray.core.specs import Usage
from helix_ray.core.state import Worker
from helix_ray.core.views.nodes import NodeLineView, NodesView, NodeView, StatusView

ACTIVE, LOST = "active", "lost"
MASTER_ID = "helix-master"
# Nodes that are listed in one step: about five milliseconds' worth.
NODES_PER_STEP = 500


def status_view(picture: Picture) -> StatusView:
    """Return a summary of the master and every node."""
    nodes = [node_line(picture, worker) for worker in picture.nodes()]
    return {
        "master_node": {
            "id": MASTER_ID,
            "status": ACTIVE,
            "uptime": max(0.0, picture.now - picture.started_at),
            "started_at": picture.started_at,
            "epoch": picture.epoch,
        },
        "worker_nodes": nodes,
        "total_nodes": 1 + len(nodes),
        "active_nodes": 1 + sum(node["status"] == ACTIVE for node in nodes),
    }


def status_of(picture: Picture, worker: Worker) -> str:
    """Return active, draining, resting or lost."""
    return unschedulable_why(worker, picture.now) or ACTIVE


def current_load(pulse: Pulse | None) -> float | None:
    """Return the busy share of a node's processors at its last measurement, 0 to 1; None before the first."""
    usage = pulse.usage.get("cpu_usage") if pulse is not None else None
    return None if usage is None else round(min(100.0, max(0.0, float(usage))) / 100.0, 4)


def node_line(picture: Picture, worker: Worker) -> NodeLineView:
    """Return a summary of one node."""
    status = status_of(picture, worker)
    return {
        "id": worker.id,
        "status": status,
        "tasks_completed": worker.completed,
        # The last measurement of a lost node is out of date.
        "current_load": None if status == LOST else current_load(picture.pulse(worker)),
    }


def node_view(picture: Picture, worker: Worker, held_for: Mapping[str, str], named: NamedTasks) -> NodeView:
    """Return one node; amounts by resource name, times in epoch seconds. `held_for`: tasks by node; `named`
    names them as the reader may see them."""
    pulse = picture.pulse(worker)
    node = node_of(worker, pulse)
    node.recompute(picture.prefetch)
    return {
        **node_line(picture, worker),
        "hostname": worker.hostname,
        "node_id": worker.node_id,
        "resources": node.capacity,
        "free": {name: max(0.0, node.free[name]) for name in node.capacity},
        "allocated": _allocated(node, picture),
        "foreign": external_usage_of(pulse),
        "simulated": logical_resources(worker.labels),
        "capabilities": sorted(worker.capabilities),
        "labels": worker.labels,
        "usage": _usage(pulse),
        "running": sorted(filter(named.visible, worker.running))[:100],
        "running_total": len(worker.running),
        "tasks_failed": worker.failed,
        "draining": worker.draining,
        "lost_at": list(worker.lost_at),
        "rests_until": quarantined_until(worker) or None,
        "held_for": named.name(held_for[worker.id]) if worker.id in held_for else None,
        "last_heartbeat": pulse.wall if pulse is not None and pulse.wall else worker.registered_at,
        "registered_at": worker.registered_at,
    }


def _usage(pulse: Pulse | None) -> Usage:
    """Return what a node measured of itself."""
    if pulse is None:
        return {}
    usage = pulse.usage.copy()
    usage.pop("foreign", None)
    usage.pop("host", None)
    return with_whole_devices(usage)


def _allocated(node: Node, picture: Picture) -> dict[str, float]:
    """Return what our tasks use: short tasks share a slot, which has the resources of one."""
    used: dict[str, float] = {}
    for task_class, count in node.load.items():
        slots = slots_of(count, picture.prefetch(task_class))
        for name, amount in task_class.demand:
            used[name] = used.get(name, 0.0) + amount * slots
    return used


def _status(picture: Picture, question: q.ClusterStatus, by: Principal) -> StatusView:
    return status_view(picture)


def list_nodes(picture: Picture, question: q.ListNodes, by: Principal) -> Generator[None, None, NodesView]:
    """List all nodes in steps, each as of its step; one that is removed before its step is left out."""
    reserved_for, named = picture.reserved_for(), NamedTasks(picture.state, by)
    nodes: list[NodeView] = []
    for count, worker in enumerate(picture.nodes(), 1):
        if worker.id in picture.state.workers:
            nodes.append(node_view(picture, worker, reserved_for, named))
        if count % NODES_PER_STEP == 0:
            yield
    return {"nodes": nodes}


def _nodes(picture: Picture, question: q.ListNodes, by: Principal) -> NodesView:
    return whole(list_nodes(picture, question, by))


def _node(picture: Picture, question: q.GetNode, by: Principal) -> NodeView | Rejected:
    worker = picture.state.workers.get(question.node_id)
    if worker is None or worker.kind != "node":
        return not_found("Node", question.node_id)
    return node_view(picture, worker, picture.reserved_for(), NamedTasks(picture.state, by))


NODE_ANSWERS: Answerers = {
    q.ClusterStatus: _status,
    q.ListNodes: _nodes,
    q.GetNode: _node,
}
NODE_STEPS: Steppers = {q.ListNodes: list_nodes}
