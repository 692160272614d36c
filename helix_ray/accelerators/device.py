"""Devices and what was read of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import cast

from helix_ray.core.specs import DeviceSample, DeviceUsage

GPU, NPU = "gpu", "npu"
NEEDS_TWO = "two samples at least 1 s apart are needed"
SUSPENDED = "suspended"
NOT_REPORTED = "the driver does not report it"


@dataclass(frozen=True, slots=True)
class Device:
    """One device. `id` is its PCI address or its name in the kernel; `path` begins at the root."""

    id: str
    kind: str
    vendor: str
    capability: str
    path: str
    driver: str | None = None
    name: str | None = None
    # Whether Ray finds it by itself, with nothing installed beside it.
    counted_by_ray: bool = False


@dataclass(frozen=True, slots=True)
class Utilization:
    """Percent of a window in seconds: 0 is an instant, None a window that the source does not tell."""

    value: float | None
    source: str | None = None
    window_s: float | None = None
    reason: str | None = None


@dataclass(frozen=True, slots=True)
class DeviceMemory:
    """MiB; `unified` memory is the system's, shared with the CPUs."""

    used_mb: int | None = None
    total_mb: int | None = None
    source: str | None = None
    unified: bool = False
    reason: str | None = None


@dataclass(frozen=True, slots=True)
class Reading:
    """What was read of one device at one time."""

    device: Device
    utilization: Utilization
    memory: DeviceMemory = DeviceMemory(reason=NOT_REPORTED)
    note: str | None = None


def percent(value: float, source: str, window_s: float | None, reason: str | None = None) -> Utilization:
    """Return a utilization, clamped to 0..100."""
    held = None if window_s is None else round(window_s, 3)
    return Utilization(round(min(100.0, max(0.0, value)), 1), source, held, reason)


def unknown(reason: str, source: str | None = None) -> Utilization:
    """Return a utilization that is not known, and why."""
    return Utilization(None, source, None, reason)


def suspended(device: Device) -> Reading:
    """Return the reading of a device that is in its sleep: it is idle, and asking it more would wake it."""
    idle = percent(0.0, "power/runtime_status", 0.0)
    return Reading(device, idle, DeviceMemory(reason="asking would wake the device"), SUSPENDED)


def as_sample(index: int, reading: Reading) -> DeviceSample:
    """Return a reading as heartbeats carry it: without what is not known."""
    device, used, memory = reading.device, reading.utilization, reading.memory
    whole: DeviceUsage = {
        "index": index,
        "id": device.id,
        "kind": device.kind,
        "vendor": device.vendor,
        "name": device.name,
        "driver": device.driver,
        "utilization": used.value,
        "source": used.source,
        "window_s": used.window_s,
        "reason": used.reason,
        "memory_used_mb": memory.used_mb,
        "memory_total_mb": memory.total_mb,
        "memory_source": memory.source,
        "memory_reason": memory.reason,
        "unified": memory.unified,
        "note": reading.note,
    }
    known = {name: value for name, value in whole.items() if value is not None}
    return cast("DeviceSample", known)
