"""Devices as a node's heartbeat tells of them."""

from __future__ import annotations

from typing import Any, cast

from helix_ray.core.host_sample import HostSample
from helix_ray.core.specs import DeviceSample


def device(kind: str, index: int, **fields: Any) -> DeviceSample:
    """Return a device with memory of its own that is half busy; what is None is not sent."""
    sample: dict[str, Any] = {
        "index": index,
        "id": f"{kind}-{index}",
        "kind": kind,
        "vendor": "NVIDIA",
        "name": "NVIDIA H200",
        "driver": "nvidia",
        "utilization": 50.0,
        "source": "nvmlDeviceGetUtilizationRates",
        "window_s": 1.0,
        "memory_used_mb": 1024,
        "memory_total_mb": 143771,
        "memory_source": "nvmlDeviceGetMemoryInfo",
        "unified": False,
        **fields,
    }
    return cast("DeviceSample", {name: value for name, value in sample.items() if value is not None})


def host_sample(**more: Any) -> HostSample:
    """Return the sample of a host with eight cores."""
    known: HostSample = {
        "cores": 8.0, "cpu_percent": 35.5, "cpu_per_core": [35.5] * 8, "cpu_window_s": 1.0,
        "cpu_source": "/proc/stat", "memory_total_mb": 16384, "memory_used_mb": 8192,
        "memory_available_mb": 8192, "memory_source": "/proc/meminfo", "temperature": 45.2,
        "temperature_source": "/sys/class/hwmon/hwmon0/temp1_input", "rx_bytes": 1_024_000_000,
        "tx_bytes": 512_000_000, "interfaces": ["eth0"],
        "disks": [{"path": "/", "total_mb": 512_000, "used_mb": 256_000, "available_mb": 256_000}],
    }  # fmt: skip
    return {**known, **more}  # type: ignore[typeddict-item]
