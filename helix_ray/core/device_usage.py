"""Devices as heartbeats carry them, and as answers show them: there, what is not known is None."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import cast

from helix_ray.core.specs import SIMULATED_LABEL, DeviceSample, DeviceUsage, Usage

_UNKNOWN: DeviceUsage = {
    "index": 0,
    "id": "",
    "kind": "",
    "vendor": "",
    "name": None,
    "driver": None,
    "utilization": None,
    "source": None,
    "window_s": None,
    "reason": None,
    "memory_used_mb": None,
    "memory_total_mb": None,
    "memory_source": None,
    "memory_reason": None,
    "unified": False,
    "note": None,
}


def whole_device(sample: DeviceSample) -> DeviceUsage:
    """Return a device with all fields."""
    return {**_UNKNOWN, **sample}


def devices_in(usage: Usage) -> Sequence[DeviceSample]:
    """Return the devices of a heartbeat; an external worker may call any figure of its own so."""
    devices: object = usage.get("devices")
    return devices if isinstance(devices, list) else ()


def with_whole_devices(usage: Usage) -> Usage:
    """Return what a worker measured, with all fields of each device."""
    devices = [whole_device(sample) for sample in devices_in(usage)]
    return {**usage, "devices": cast("list[DeviceSample]", devices)} if devices else usage


def logical_resources(labels: Mapping[str, str]) -> list[str]:
    """Return the resources that a node only declares, without a device behind them, from its labels."""
    return [name.lower() for name in labels.get(SIMULATED_LABEL, "").split(".") if name]
