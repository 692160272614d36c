"""Qualcomm: Adreno graphics (kgsl of the vendor, msm of the kernel) and Hexagon NPUs."""

from __future__ import annotations

from helix_ray.accelerators import drm
from helix_ray.accelerators.device import (
    GPU,
    NPU,
    Device,
    DeviceMemory,
    Reading,
    Utilization,
    percent,
    unknown,
)
from helix_ray.accelerators.files import entries, shown, system_memory_mb, text
from helix_ray.accelerators.host import FileFamily, Host

KGSL, KGSL_PATH = "kgsl", "/sys/class/kgsl/kgsl-3d0"
MAINLINE_DRIVERS = ("msm", "msm_dpu", "adreno")


def _find(host: Host) -> list[Device]:
    kgsl = host.at(KGSL_PATH)
    if kgsl.exists():
        name = text(kgsl / "gpu_model") or "Adreno"
        return [Device("kgsl-3d0", GPU, "Qualcomm", "adreno-gpu", KGSL_PATH, KGSL, name)]
    return [
        Device(card.id, GPU, "Qualcomm", "adreno-gpu", shown(host.root, card.path), card.driver, "Adreno")
        for card in drm.cards(host)
        if card.driver in MAINLINE_DRIVERS
    ]


def _read(host: Host, device: Device) -> Reading:
    memory = DeviceMemory(None, system_memory_mb(host.root), "meminfo", unified=True)
    if device.driver == KGSL:
        return Reading(device, _kgsl(host, device), memory)
    clients = drm.clients_of(host, device.id, "msm")
    return Reading(device, drm.busiest_engine(host, device.id, clients), memory)


def _kgsl(host: Host, device: Device) -> Utilization:
    """`gpubusy` has busy and total time of the last interval; both are 0 while the device sleeps."""
    words = (text(host.at(device.path) / "gpubusy") or "").split()
    if len(words) == 2 and all(word.isdecimal() for word in words):
        busy, total = map(int, words)
        return percent(100.0 * busy / total if total else 0.0, "kgsl gpubusy", total / 1e6)
    said = (text(host.at(device.path) / "gpu_busy_percentage") or "").removesuffix("%").strip()
    if said.isdecimal():
        return percent(float(said), "kgsl gpu_busy_percentage", None)
    return unknown("gpubusy cannot be read", "kgsl gpubusy")


def _find_hexagon(host: Host) -> list[Device]:
    name = text(host.at("/sys/devices/soc0/machine"))
    for path in entries(host.root, "dev/fastrpc-cdsp*"):
        return [
            Device(
                "cdsp", NPU, "Qualcomm", "qualcomm-npu", shown(host.root, path), "fastrpc",
                f"Hexagon NPU of {name}" if name else "Hexagon NPU",
            )
        ]  # fmt: skip
    return []


def _read_hexagon(host: Host, device: Device) -> Reading:
    return Reading(device, unknown("the driver fastrpc does not report it"))


ADRENO = FileFamily("Adreno GPU", _find, _read)
HEXAGON = FileFamily("Hexagon NPU", _find_hexagon, _read_hexagon)
