"""How busy the devices are that a waiting task asks for, as its explanation says it."""

from __future__ import annotations

from helix_ray.core.answers.picture import Picture
from helix_ray.core.device_usage import devices_in
from helix_ray.core.placement.units import ACCELERATION
from helix_ray.core.state import TaskClass
from helix_ray.core.views.placement import DeviceLoadView

KINDS = ("gpu", "npu")
GPU_MEMORY = "gpu_memory_mb"
RECENT_S = 300.0


def kinds_of(task_class: TaskClass) -> set[str]:
    """Return the kinds of devices that a class asks for, as amounts or as capabilities."""
    asked = {name for name, amount in task_class.demand if amount > 0} | {*task_class.capabilities}
    if ACCELERATION in asked:
        return set(KINDS)
    return {kind for kind in KINDS if kind in asked} | ({"gpu"} if GPU_MEMORY in asked else set())


def device_loads(picture: Picture, node_id: str, kinds: set[str]) -> list[DeviceLoadView]:
    """Return the devices of these kinds of one node."""
    pulse = picture.liveness.pulses.get(node_id)
    if pulse is None or not kinds:
        return []
    history, since = picture.liveness.devices, picture.now - RECENT_S
    return [
        {
            "kind": device["kind"],
            "index": device["index"],
            "name": device.get("name"),
            "utilization": device.get("utilization"),
            "utilization_5m": history.of(node_id, device["id"]).mean_since(since),
            "reason": device.get("reason"),
            "memory_used_mb": device.get("memory_used_mb"),
            "memory_total_mb": device.get("memory_total_mb"),
        }
        for device in devices_in(pulse.usage)
        if device["kind"] in kinds
    ]
