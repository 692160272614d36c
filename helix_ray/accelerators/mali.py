"""Arm Mali graphics: by the kernel's drivers (panfrost, panthor), or the vendor's with a governor."""

from __future__ import annotations

from helix_ray.accelerators import devfreq, drm
from helix_ray.accelerators.device import GPU, Device, DeviceMemory, Reading, Utilization, unknown
from helix_ray.accelerators.files import driver_of, identity, shown, system_memory_mb, text
from helix_ray.accelerators.host import FileFamily, Host

KERNEL_DRIVERS = ("panfrost", "panthor")
VENDOR_DRIVERS = ("mali", "mali-valhall", "midgard")
NAME = r".*(mali|gpu).*"
GPU_INFO = "/sys/class/misc/mali0/device/gpuinfo"


def _find(host: Host) -> list[Device]:
    found = [
        Device(
            card.id, GPU, "Arm", "mali-gpu", shown(host.root, card.path), card.driver, f"Mali ({card.driver})"
        )
        for card in drm.cards(host)
        if card.driver in KERNEL_DRIVERS
    ]
    if found:
        return found
    # Other makers' graphics have governors too: Adreno's kgsl, Jetson's.
    for folder in devfreq.folders(host, NAME):
        driver = driver_of(folder / "device")
        if (driver or "").lower() in VENDOR_DRIVERS or host.at(GPU_INFO).exists():
            at = identity(folder / "device") if (folder / "device").exists() else folder.name
            return [Device(at, GPU, "Arm", "mali-gpu", shown(host.root, folder), driver, _model(host))]
    return []


def _model(host: Host) -> str:
    """Return the model from `Mali-G610 4 cores r0p0 0xA867`."""
    return (text(host.at(GPU_INFO)) or "Mali").split(" ")[0]


def _read(host: Host, device: Device) -> Reading:
    memory = DeviceMemory(None, system_memory_mb(host.root), "meminfo", unified=True)
    if device.driver not in KERNEL_DRIVERS:
        return Reading(device, devfreq.load(host.at(device.path)), memory)
    return Reading(device, _by_clients(host, device), memory)


def _by_clients(host: Host, device: Device) -> Utilization:
    """The driver counts only while it is told to (profiling); the governor's load is the way out."""
    profiling = text(host.at(device.path) / "device" / "profiling")
    if profiling not in (None, "0"):
        clients = drm.clients_of(host, device.id, str(device.driver))
        return drm.busiest_engine(host, device.id, clients)
    for folder in devfreq.folders(host, NAME):
        if (folder / "load").exists():
            return devfreq.load(folder)
    return unknown(f"{device.driver} does not count: write 1 to {device.path}/device/profiling")


MALI = FileFamily("Mali GPU", _find, _read)
