"""Devices as a node's heartbeat tells of them."""

from __future__ import annotations

from typing import Any

from helix_ray.core.specs import DeviceUsage


def device(kind: str, index: int, **fields: Any) -> DeviceUsage:
    """Return a device with memory of its own that is half busy."""
    told: Any = {
        "index": index,
        "id": f"{kind}-{index}",
        "kind": kind,
        "vendor": "NVIDIA",
        "name": "NVIDIA H200",
        "driver": "nvidia",
        "utilization": 50.0,
        "source": "nvmlDeviceGetUtilizationRates",
        "window_s": 1.0,
        "reason": None,
        "memory_used_mb": 1024,
        "memory_total_mb": 143771,
        "memory_source": "nvmlDeviceGetMemoryInfo",
        "memory_reason": None,
        "unified": False,
        "note": None,
        **fields,
    }
    found: DeviceUsage = told
    return found
