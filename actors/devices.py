"""Reads the NVIDIA devices of this host from their driver (NVML); without a driver there are none."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

from actors import ray_seams
from helix_ray.core.specs import DeviceUsage

pynvml = ray_seams.nvml()
BYTES_PER_MB = 1024 * 1024


class Devices:
    """Opens NVML once; `read` may be called from any thread, but not concurrently."""

    def __init__(self) -> None:
        self._handles: list[Any] = []
        with suppress(pynvml.NVMLError):
            pynvml.nvmlInit()
            count = pynvml.nvmlDeviceGetCount()
            self._handles = [pynvml.nvmlDeviceGetHandleByIndex(index) for index in range(count)]

    def read(self) -> list[DeviceUsage]:
        """Return index, kind, name, utilization (percent) and memory (MiB) of each; values that the driver
        does not report are None."""
        return [_describe(index, handle) for index, handle in enumerate(self._handles)]


def gpu_memory_mb() -> float:
    """Return the total memory of all GPUs of this host in MiB; 0 where no driver reports it."""
    return float(sum(device["memory_total_mb"] or 0 for device in Devices().read()))


def _describe(index: int, handle: Any) -> DeviceUsage:
    name = _ask(pynvml.nvmlDeviceGetName, handle)
    rates = _ask(pynvml.nvmlDeviceGetUtilizationRates, handle)
    memory = _ask(pynvml.nvmlDeviceGetMemoryInfo, handle)
    return {
        "index": index,
        "kind": "gpu",
        "name": name.decode() if isinstance(name, bytes) else name,
        "utilization": None if rates is None else float(rates.gpu),
        "memory_used_mb": None if memory is None else memory.used // BYTES_PER_MB,
        "memory_total_mb": None if memory is None else memory.total // BYTES_PER_MB,
    }


def _ask(question: Any, handle: Any) -> Any:
    try:
        return question(handle)
    except pynvml.NVMLError:
        return None
