"""Answers questions about the accelerators of the cluster and of its nodes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from helix_ray.core import questions as q
from helix_ray.core.access import Principal
from helix_ray.core.answers.nodes import SIMULATED_LABEL
from helix_ray.core.answers.optimizations import VariantInUse, optimizations_of
from helix_ray.core.answers.picture import Answerers, Picture
from helix_ray.core.device_history import POINT_S
from helix_ray.core.errors import Rejected, not_found
from helix_ray.core.specs import DeviceUsage
from helix_ray.core.state import State, Worker
from helix_ray.core.views.acceleration import (
    AccelerationView,
    AcceleratorView,
    NodeDevicesView,
    NodeDeviceView,
)

NPU, GPU = "npu", "gpu"
# How many devices of a kind an answer lists; the others are only counted.
DEVICES_LISTED_MAX = 100
# How many nodes a sentence names.
NODES_NAMED_MAX = 3


def devices_of(picture: Picture, worker: Worker) -> list[DeviceUsage]:
    """Return the devices of a node as last measured."""
    pulse = picture.pulse(worker)
    return [] if pulse is None else pulse.usage.get("devices", [])


def _node_devices(picture: Picture, question: q.NodeDevices, by: Principal) -> NodeDevicesView | Rejected:
    worker = picture.state.workers.get(question.node_id)
    if worker is None or worker.kind != "node":
        return not_found("Node", question.node_id)
    pulse = picture.pulse(worker)
    history = picture.liveness.devices
    return {
        "node": worker.id,
        "measured_at": pulse.wall if pulse is not None and pulse.wall else None,
        "point_s": POINT_S,
        "devices": [
            {**device, "history": history.of(worker.id, device["id"]).points(question.points)}
            for device in devices_of(picture, worker)
        ],
    }


def _acceleration(picture: Picture, question: q.Acceleration, by: Principal) -> AccelerationView | Rejected:
    nodes = [worker for worker in picture.nodes() if not worker.lost]
    if question.node_id is not None:
        worker = picture.state.workers.get(question.node_id)
        if worker is None or worker.kind != "node":
            return not_found("Node", question.node_id)
        nodes = [worker for worker in nodes if worker.id == question.node_id]
    return {
        "node": question.node_id,
        "npu": _accelerator(picture, nodes, NPU),
        "gpu": _accelerator(picture, nodes, GPU),
        "optimizations": optimizations_of(variants_in_use(picture.state, nodes)),
    }


def variants_in_use(state: State, nodes: Sequence[Worker]) -> list[VariantInUse]:
    """Return the variants that published models run in on these nodes.

    Models of the package and of HELIX_MODELS_DIR are not published: they run as they are.
    """
    return []


def _accelerator(picture: Picture, nodes: Sequence[Worker], kind: str) -> AcceleratorView:
    """Return one kind of accelerator over some nodes; logical ones are listed and never available."""
    found: list[NodeDeviceView] = [
        {**device, "node": node.id, "simulated": False}
        for node in nodes
        for device in devices_of(picture, node)
        if device["kind"] == kind
    ]
    logical = [_logical(node, kind) for node in nodes if _is_logical(node, kind)]
    known = [device for device in found if device["utilization"] is not None]
    names = Counter(device["name"] or device["vendor"] for device in found)
    sources = sorted({device["source"] for device in known if device["source"] is not None})
    windows = [device["window_s"] for device in known if device["window_s"] is not None]
    values = [device["utilization"] or 0.0 for device in known]
    return {
        "available": bool(found),
        "model": min(names, key=lambda name: (-names[name], name)) if names else None,
        "utilization": round(sum(values) / len(values), 1) if values else None,
        "source": ", ".join(sources) or None,
        "window_s": max(windows, default=None),
        "reason": _reason(nodes, kind, found, known, logical),
        "simulated": bool(logical) and not found,
        "count": len(found),
        "known": len(known),
        "devices": [*found, *logical][:DEVICES_LISTED_MAX],
    }


def _is_logical(node: Worker, kind: str) -> bool:
    return kind in node.labels.get(SIMULATED_LABEL, "").lower().split(".")


def _logical(node: Worker, kind: str) -> NodeDeviceView:
    """Return the entry of a resource that was only declared (`--node-resources`)."""
    return {
        "node": node.id,
        "simulated": True,
        "index": 0,
        "id": f"logical-{kind}",
        "kind": kind,
        "vendor": "none",
        "name": None,
        "driver": None,
        "utilization": None,
        "source": None,
        "window_s": None,
        "reason": "a logical resource: no device is behind it",
        "memory_used_mb": None,
        "memory_total_mb": None,
        "memory_source": None,
        "memory_reason": None,
        "unified": False,
        "note": None,
    }


def _reason(
    nodes: Sequence[Worker],
    kind: str,
    found: Sequence[NodeDeviceView],
    known: Sequence[NodeDeviceView],
    logical: Sequence[NodeDeviceView],
) -> str | None:
    """Return why there is none, or why its utilization is not known."""
    if found:
        # One sentence for each cause; partial figures name it too.
        causes = sorted({device["reason"] for device in found if device["reason"] is not None})
        missing = len(found) - len(known)
        said = "; ".join(causes)
        return f"{missing} of {len(found)} not known: {said}" if known and missing else said or None
    if logical:
        names = ", ".join(device["node"] for device in logical[:NODES_NAMED_MAX])
        return f"only logical: declared without a device by {names}"
    if not nodes:
        return "no node is connected"
    counted = [node.id for node in nodes if node.resources.get(kind)]
    if counted:
        return f"{', '.join(counted[:NODES_NAMED_MAX])} offers it, but no driver reports a device there"
    return "no node has a driver of one"


ACCELERATION_ANSWERS: Answerers = {q.NodeDevices: _node_devices, q.Acceleration: _acceleration}
