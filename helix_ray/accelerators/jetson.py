"""NVIDIA Jetson: graphics of a Tegra chip, whose load the kernel writes per mille."""

from __future__ import annotations

from helix_ray.accelerators.device import GPU, Device, DeviceMemory, Reading, percent, unknown
from helix_ray.accelerators.files import number, system_memory_mb, text
from helix_ray.accelerators.host import FileFamily, Host

COMPATIBLE = "nvidia,tegra"
LOADS = ("/sys/devices/platform/gpu.0/load", "/sys/devices/gpu.0/load")


def _find(host: Host) -> list[Device]:
    names = (text(host.at("/proc/device-tree/compatible")) or "").split("\0")
    if not any(name.startswith(COMPATIBLE) for name in names):
        return []
    model = text(host.at("/proc/device-tree/model")) or "NVIDIA Jetson"
    path = next((path for path in LOADS if host.at(path).exists()), LOADS[0])
    return [Device("tegra-gpu", GPU, "NVIDIA", "jetson-gpu", path, "nvgpu", model)]


def _read(host: Host, device: Device) -> Reading:
    load = number(host.at(device.path))
    used = (
        unknown(f"{device.path} cannot be read", "gpu load")
        if load is None
        else percent(load / 10, "gpu load", None)
    )
    return Reading(device, used, DeviceMemory(None, system_memory_mb(host.root), "meminfo", unified=True))


JETSON = FileFamily("Jetson GPU", _find, _read)
