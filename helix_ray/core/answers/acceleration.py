"""Answers questions about the accelerators of the cluster and of its nodes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from helix_ray.core import questions as q
from helix_ray.core.access import Principal
from helix_ray.core.answers.optimizations import optimizations_of
from helix_ray.core.answers.picture import Answerers, Picture
from helix_ray.core.answers.variants_in_use import variants_in_use
from helix_ray.core.device_history import POINT_S
from helix_ray.core.device_usage import devices_in, logical_resources, whole_device
from helix_ray.core.errors import Rejected, not_found
from helix_ray.core.specs import DeviceSample
from helix_ray.core.state import Worker
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


def devices_of(picture: Picture, worker: Worker) -> Sequence[DeviceSample]:
    """Return the devices of a node as last measured."""
    pulse = picture.pulse(worker)
    return () if pulse is None else devices_in(pulse.usage)


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
            {**whole_device(device), "history": history.of(worker.id, device["id"]).points(question.points)}
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
        "optimizations": optimizations_of(variants_in_use(picture.state, nodes, by)),
    }


def _accelerator(picture: Picture, nodes: Sequence[Worker], kind: str) -> AcceleratorView:
    """Return one kind of accelerator over some nodes; logical ones are listed and never available."""
    found = [
        (node.id, device) for node in nodes for device in devices_of(picture, node) if device["kind"] == kind
    ]
    logical = [node.id for node in nodes if _is_logical(node, kind)]
    known = [device for _, device in found if "utilization" in device]
    names = Counter(device.get("name", device["vendor"]) for _, device in found)
    sources = sorted({device["source"] for device in known if "source" in device})
    values = [device["utilization"] for device in known]
    listed = [_listed(node_id, device) for node_id, device in found[:DEVICES_LISTED_MAX]]
    listed += [_logical(node_id, kind) for node_id in logical[: DEVICES_LISTED_MAX - len(listed)]]
    return {
        "available": bool(found),
        "model": min(names, key=lambda name: (-names[name], name)) if names else None,
        "utilization": round(sum(values) / len(values), 1) if values else None,
        "source": ", ".join(sources) or None,
        "window_s": max((device["window_s"] for device in known if "window_s" in device), default=None),
        "reason": _why_missing([device for _, device in found]) if found else _why_none(nodes, kind, logical),
        "simulated": bool(logical) and not found,
        "count": len(found),
        "known": len(known),
        "devices": listed,
    }


def _listed(node_id: str, device: DeviceSample) -> NodeDeviceView:
    return {**whole_device(device), "node": node_id, "simulated": False}


def _is_logical(node: Worker, kind: str) -> bool:
    return kind in logical_resources(node.labels)


def _logical(node_id: str, kind: str) -> NodeDeviceView:
    """Return the entry of a resource that was only declared (`--node-resources`)."""
    sample: DeviceSample = {
        "id": f"logical-{kind}",
        "kind": kind,
        "vendor": "none",
        "reason": "a logical resource: no device is behind it",
    }
    return {**whole_device(sample), "node": node_id, "simulated": True}


def _why_missing(found: Sequence[DeviceSample]) -> str | None:
    """Return why utilizations are not known, each cause once; partial figures name theirs too."""
    said = "; ".join(sorted({device["reason"] for device in found if "reason" in device}))
    missing = sum("utilization" not in device for device in found)
    return f"{missing} of {len(found)} not known: {said}" if 0 < missing < len(found) else said or None


def _why_none(nodes: Sequence[Worker], kind: str, logical: Sequence[str]) -> str:
    """Return why there is no device of a kind."""
    if logical:
        return f"only logical: declared without a device by {', '.join(logical[:NODES_NAMED_MAX])}"
    if not nodes:
        return "no node is connected"
    counted = [node.id for node in nodes if node.resources.get(kind)]
    if counted:
        names = ", ".join(counted[:NODES_NAMED_MAX])
        return f"{names} offers it, but no driver reports a device there"
    return "no node has a driver of one"


ACCELERATION_ANSWERS: Answerers = {q.NodeDevices: _node_devices, q.Acceleration: _acceleration}
