"""AMD NPUs (XDNA), by the driver amdxdna: its sensors, or what its clients have used."""

from __future__ import annotations

import ctypes
import fcntl
import os
import struct
from collections.abc import Callable
from pathlib import Path

from helix_ray.accelerators import drm
from helix_ray.accelerators.accel import entries_of
from helix_ray.accelerators.device import (
    NPU,
    Device,
    DeviceMemory,
    Reading,
    Utilization,
    percent,
    suspended,
    unknown,
)
from helix_ray.accelerators.files import is_suspended, shown, system_memory_mb, text
from helix_ray.accelerators.host import FileFamily, Host

VENDOR, DRIVER = "0x1022", "amdxdna"
# The driver's name in fdinfo.
CLIENT_DRIVER = "amdxdna_accel_driver"
SENSORS = "DRM_AMDXDNA_QUERY_SENSORS"
# Of a sensor: label, input, max, average, highest, status, units, exponent, type, padding.
RECORD = struct.Struct("=64sIIII64s16sbB6x")
COLUMN_UTILIZATION = 1
SENSORS_MAX = 32
# _IOWR('d', 0x40 + 7, {u32 param, u32 size, u64 address}), with param 4 for the sensors.
_QUERY = struct.Struct("=IIQ")
_REQUEST = (3 << 30) | (_QUERY.size << 16) | (ord("d") << 8) | 0x47
_QUERY_SENSORS = 4

# Asks a device file for its sensors; None where the driver or the permissions do not allow it.
AskSensors = Callable[[Path], bytes | None]


def ask_sensors(path: Path) -> bytes | None:
    """Return the driver's sensor records."""
    buffer = ctypes.create_string_buffer(RECORD.size * SENSORS_MAX)
    query = bytearray(_QUERY.pack(_QUERY_SENSORS, len(buffer), ctypes.addressof(buffer)))
    try:
        opened = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        fcntl.ioctl(opened, _REQUEST, query)
    except OSError:
        return None
    finally:
        os.close(opened)
    size = _QUERY.unpack(query)[1]
    return buffer.raw[: min(size, len(buffer))]


def column_utilization(records: bytes) -> float | None:
    """Return the mean utilization of the columns in percent; None where no sensor tells it."""
    values = []
    for at in range(0, len(records) - RECORD.size + 1, RECORD.size):
        _, value, _, _, _, _, _, exponent, kind = RECORD.unpack_from(records, at)
        if kind == COLUMN_UTILIZATION:
            values.append(value * 10.0**exponent)
    return sum(values) / len(values) if values else None


class Xdna:
    """Finds and reads the NPUs; `ask` asks a device file for its sensors."""

    name = "AMD NPU"

    def __init__(self, ask: AskSensors = ask_sensors) -> None:
        self._family = FileFamily(self.name, _find, self._read)
        self._ask = ask

    def find(self, host: Host) -> list[Device]:
        """Return the devices that there are."""
        return [*self._family.find(host)]

    def readings(self, host: Host) -> list[Reading]:
        """Return what can be read of each."""
        return [*self._family.readings(host)]

    def _read(self, host: Host, device: Device) -> Reading:
        # Opening the device file would wake it.
        if is_suspended(host.at(device.path) / "device"):
            return suspended(device)
        memory = DeviceMemory(None, system_memory_mb(host.root), "meminfo", unified=True)
        return Reading(device, self._utilization(host, device), memory)

    def _utilization(self, host: Host, device: Device) -> Utilization:
        records = self._ask(host.at(f"/dev/accel/{Path(device.path).name}"))
        columns = column_utilization(records) if records else None
        if columns is not None:
            return percent(columns, SENSORS, 0.0)
        clients = drm.clients_of(host, device.id, CLIENT_DRIVER)
        reported = any(
            name.startswith("drm-engine-") for fields in clients.fields.values() for name in fields
        )
        if not reported:
            return unknown("neither sensors nor clients tell it: XDNA 1, or a driver before 0.7", SENSORS)
        return drm.busiest_engine(host, device.id, clients)


def _find(host: Host) -> list[Device]:
    return [
        Device(
            entry.id, NPU, "AMD", "amd-npu", shown(host.root, entry.path), DRIVER,
            text(entry.device / "vbnv") or "AMD NPU",
        )
        for entry in entries_of(host, DRIVER)
        if entry.vendor == VENDOR
    ]  # fmt: skip
