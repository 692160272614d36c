"""Intel graphics, by the drivers i915 and xe: what their clients have used."""

from __future__ import annotations

from helix_ray.accelerators import drm
from helix_ray.accelerators.device import GPU, NOT_REPORTED, Device, DeviceMemory, Reading, suspended
from helix_ray.accelerators.files import is_suspended, pci_name, shown, system_memory_mb
from helix_ray.accelerators.host import FileFamily, Host

VENDOR, DRIVERS = "0x8086", ("i915", "xe")
# Where the graphics of a processor are; cards have other addresses.
INTEGRATED = "0000:00:02.0"


def _find(host: Host) -> list[Device]:
    return [
        Device(
            card.id, GPU, "Intel", "intel-gpu", shown(host.root, card.path), card.driver,
            pci_name(card.device, {}, "Intel GPU"),
        )
        for card in drm.cards(host)
        if card.vendor == VENDOR and card.driver in DRIVERS
    ]  # fmt: skip


def _read(host: Host, device: Device) -> Reading:
    if is_suspended(host.at(device.path) / "device"):
        return suspended(device)
    clients = drm.clients_of(host, device.id, str(device.driver))
    used = drm.busiest_engine(host, device.id, clients, by_cycles=device.driver == "xe")
    return Reading(device, used, _memory(host, device, clients))


def _memory(host: Host, device: Device, clients: drm.Clients) -> DeviceMemory:
    if device.id == INTEGRATED:
        used = drm.resident_mb(clients, r"system\d*|stolen\S*|gtt")
        return DeviceMemory(used, system_memory_mb(host.root), "fdinfo drm-resident, meminfo", unified=True)
    used = drm.resident_mb(clients, r"vram\d*|local\d*")
    return DeviceMemory(used, None, "fdinfo drm-resident", reason=f"total: {NOT_REPORTED}")


INTEL_GPU = FileFamily("Intel GPU", _find, _read)
