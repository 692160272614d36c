"""AMD graphics cards and APUs, by the driver amdgpu."""

from __future__ import annotations

from helix_ray.accelerators import drm
from helix_ray.accelerators.device import (
    GPU,
    NOT_REPORTED,
    Device,
    DeviceMemory,
    Reading,
    percent,
    suspended,
    unknown,
)
from helix_ray.accelerators.files import is_suspended, number, pci_name, shown, text, whole_mb
from helix_ray.accelerators.host import FileFamily, Host

VENDOR, DRIVER = "0x1002", "amdgpu"
BUSY = "gpu_busy_percent"


def _find(host: Host) -> list[Device]:
    return [
        Device(
            card.id, GPU, "AMD", "amd-gpu", shown(host.root, card.path), DRIVER,
            text(card.device / "product_name") or pci_name(card.device, {}, "AMD GPU"),
        )
        for card in drm.cards(host)
        if (card.vendor, card.driver) == (VENDOR, DRIVER)
    ]  # fmt: skip


def _read(host: Host, device: Device) -> Reading:
    at = host.at(device.path) / "device"
    if is_suspended(at):
        return suspended(device)
    busy = number(at / BUSY)
    # The driver does not state over which time its firmware takes the mean.
    used = unknown(f"{BUSY} cannot be read", BUSY) if busy is None else percent(busy, BUSY, None)
    return Reading(device, used, _memory(host, device))


def _memory(host: Host, device: Device) -> DeviceMemory:
    """An APU has no memory of its own: beside the part that the firmware set apart (VRAM) it uses the
    system's (GTT). The driver has no mem_busy_percent for one."""
    at = host.at(device.path) / "device"
    used, total = _pair(host, device, "vram")
    if total is None:
        return DeviceMemory(reason=NOT_REPORTED)
    if (at / "mem_busy_percent").exists():
        return DeviceMemory(used, total, "mem_info_vram")
    gtt_used, gtt_total = _pair(host, device, "gtt")
    if gtt_total is None:
        return DeviceMemory(used, total, "mem_info_vram")
    both = None if used is None or gtt_used is None else used + gtt_used
    return DeviceMemory(both, total + gtt_total, "mem_info_vram + mem_info_gtt", unified=True)


def _pair(host: Host, device: Device, region: str) -> tuple[int | None, int | None]:
    at = host.at(device.path) / "device"
    used, total = (number(at / f"mem_info_{region}_{what}") for what in ("used", "total"))
    return whole_mb(used), whole_mb(total)


AMD_GPU = FileFamily("AMD GPU", _find, _read)
