"""Accelerators that are only known by name: their drivers tell nothing of their use."""

from __future__ import annotations

from helix_ray.accelerators.accel import Entry, entries_of
from helix_ray.accelerators.device import NPU, Device, Reading, unknown
from helix_ray.accelerators.files import entries, shown
from helix_ray.accelerators.host import FileFamily, Host

# By driver in the class accel: maker, capability, name, and whether Ray counts it.
DRIVERS = {
    "ethosu": ("Arm", "arm-npu", "Arm Ethos-U", False),
    "qaic": ("Qualcomm", "qualcomm-npu", "Qualcomm Cloud AI", False),
    "habanalabs": ("Intel", "gaudi", "Intel Gaudi", True),
}
# Drivers outside the class, by their device files.
DEVICE_FILES = {
    "dev/apex_*": ("Google", "coral-tpu", "Coral Edge TPU", "apex"),
    "dev/hailo[0-9]*": ("Hailo", "hailo-npu", "Hailo", "hailo"),
}


def _find(host: Host) -> list[Device]:
    return [
        *(_by_driver(host, entry) for entry in entries_of(host, *DRIVERS)),
        *(
            Device(path.name, NPU, vendor, capability, shown(host.root, path), driver, name)
            for pattern, (vendor, capability, name, driver) in DEVICE_FILES.items()
            for path in entries(host.root, pattern)
        ),
    ]


def _by_driver(host: Host, entry: Entry) -> Device:
    vendor, capability, name, counted = DRIVERS[entry.driver]
    return Device(
        entry.id, NPU, vendor, capability, shown(host.root, entry.path), entry.driver, name, counted
    )


def _read(host: Host, device: Device) -> Reading:
    return Reading(device, unknown(f"the driver {device.driver} does not report it"))


NAMED = FileFamily("others", _find, _read)
