"""Devices as a node's heartbeat tells of them."""

from __future__ import annotations

from typing import Any, cast

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
