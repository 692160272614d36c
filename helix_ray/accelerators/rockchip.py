"""Rockchip NPUs: by the vendor's driver (RKNPU) or the kernel's own (rocket)."""

from __future__ import annotations

import re

from helix_ray.accelerators import devfreq, drm
from helix_ray.accelerators.accel import entries_of
from helix_ray.accelerators.device import NPU, Device, DeviceMemory, Reading, Utilization, percent, unknown
from helix_ray.accelerators.files import shown, system_memory_mb, text
from helix_ray.accelerators.host import FileFamily, Host

VENDOR_DRIVER, MAINLINE_DRIVER = "RKNPU", "rocket"
CAPABILITY = "rockchip-npu"
DEBUG = "/sys/kernel/debug/rknpu/load"
NAME = r".*\.npu"
CORE, ONLY = re.compile(r"Core(\d+):\s*(\d+)%"), re.compile(r"NPU load:\s+(\d+)%")


def _find(host: Host) -> list[Device]:
    """One device, whichever of its traces there are: by kernel option it is /dev/rknpu or a render node."""
    model = _model(host)
    for card in drm.cards(host):
        if card.driver == VENDOR_DRIVER:
            return [_device(card.id, shown(host.root, card.path), VENDOR_DRIVER, model)]
    for folder in devfreq.folders(host, NAME):
        return [_device(folder.name, shown(host.root, folder), VENDOR_DRIVER, model)]
    for path in ("/dev/rknpu", DEBUG):
        if host.at(path).exists():
            return [_device("rknpu", path, VENDOR_DRIVER, model)]
    cores = list(entries_of(host, MAINLINE_DRIVER))
    if cores:
        return [_device(cores[0].id, shown(host.root, cores[0].path), MAINLINE_DRIVER, model)]
    return []


def _device(id: str, path: str, driver: str, model: str | None) -> Device:
    return Device(id, NPU, "Rockchip", CAPABILITY, path, driver, model)


def _model(host: Host) -> str | None:
    """Return the chip, from the device tree: its last `rockchip,` entry names it."""
    names = (text(host.at("/proc/device-tree/compatible")) or "").split("\0")
    chips = [name.removeprefix("rockchip,") for name in names if name.startswith("rockchip,")]
    return f"{chips[-1].upper()} NPU" if chips else "Rockchip NPU"


def _read(host: Host, device: Device) -> Reading:
    memory = DeviceMemory(None, system_memory_mb(host.root), "meminfo", unified=True)
    if device.driver == MAINLINE_DRIVER:
        return Reading(device, unknown("the driver rocket does not report it"), memory)
    used, note = _debug_load(host)
    if used is None:
        used = next((devfreq.load(folder) for folder in devfreq.folders(host, NAME)), None)
    if used is None:
        used = unknown(f"{DEBUG} cannot be read: it is for root", "rknpu load")
    return Reading(device, used, memory, note)


def _debug_load(host: Host) -> tuple[Utilization | None, str | None]:
    """Return the mean of the cores, and the load of each as a note."""
    said = text(host.at(DEBUG)) or ""
    cores = CORE.findall(said)
    if cores:
        mean = sum(int(load) for _, load in cores) / len(cores)
        return percent(mean, "rknpu load", None), ", ".join(f"core {core}: {load} %" for core, load in cores)
    only = ONLY.search(said)
    return (percent(float(only[1]), "rknpu load", None), None) if only else (None, None)


ROCKCHIP = FileFamily("Rockchip NPU", _find, _read)
