"""Intel NPUs (AI Boost), by the driver intel_vpu."""

from __future__ import annotations

from helix_ray.accelerators.accel import entries_of
from helix_ray.accelerators.counters import busy_time
from helix_ray.accelerators.device import NPU, Device, DeviceMemory, Reading, suspended, unknown
from helix_ray.accelerators.files import is_suspended, number, pci_name, shown, system_memory_mb, whole_mb
from helix_ray.accelerators.host import FileFamily, Host

VENDOR, DRIVER = "0x8086", "intel_vpu"
# By PCI device id (drivers/accel/ivpu/ivpu_drv.h).
NAMES = {
    "0x7d1d": "Intel AI Boost (Meteor Lake)",
    "0xad1d": "Intel AI Boost (Arrow Lake)",
    "0x643e": "Intel AI Boost (Lunar Lake)",
    "0xb03e": "Intel AI Boost (Panther Lake)",
    "0xfd3e": "Intel AI Boost (Wildcat Lake)",
}
BUSY = "npu_busy_time_us"
US_PER_S = 1e6


def _find(host: Host) -> list[Device]:
    return [
        Device(
            entry.id, NPU, "Intel", "intel-npu", shown(host.root, entry.path), DRIVER,
            pci_name(entry.device, NAMES, "Intel NPU"),
        )
        for entry in entries_of(host, DRIVER)
        if entry.vendor == VENDOR
    ]  # fmt: skip


def _read(host: Host, device: Device) -> Reading:
    at = host.at(device.path) / "device"
    if is_suspended(at):
        return suspended(device)
    busy = number(at / BUSY)
    if busy is None:
        host.counters.forget(device.id)
        used = unknown(f"{BUSY} cannot be read: kernels before 6.11 do not have it", BUSY)
    else:
        used = host.counters.measure(device.id, {"busy": busy}, busy_time(US_PER_S), BUSY)
    in_use = whole_mb(number(at / "npu_memory_utilization"))
    return Reading(
        device,
        used,
        DeviceMemory(in_use, system_memory_mb(host.root), "npu_memory_utilization, meminfo", unified=True),
    )


INTEL_NPU = FileFamily("Intel NPU", _find, _read)
