"""What a node worker's heartbeat says of its host and node."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable, Mapping
from typing import Any

import psutil

from actors import labels
from actors.devices import Devices
from helix_ray.core.state import Demand
from helix_ray.execution.external_usage import ExternalUsage

BYTES_PER_MB = 1024 * 1024


class NodeUsage:
    """Figures of one node: the host's own, and what others on the cluster use of it."""

    def __init__(self, offer: Mapping[str, Any]) -> None:
        self._external_usage = ExternalUsage(offer["resources"])
        # Of several nodes of one host only the one that offers the real GPUs tells of them.
        real = offer["resources"].get("gpu", 0.0) > 0 and labels.SIMULATED not in offer["labels"]
        self._devices = Devices() if real else None

    def sample(self, free: Mapping[str, float], own: Iterable[Demand]) -> None:
        """Note what Ray has free on the node, and what our executors hold or have asked for."""
        self._external_usage.sample(free, own, time.monotonic())

    def external_usage(self) -> Demand:
        """Return what others on the cluster use; nothing where that is not known."""
        return tuple((self._external_usage.amounts(time.monotonic()) or {}).items())

    async def read(self) -> dict[str, Any]:
        """Return cpu_usage (percent), memory_usage and memory_total (MiB),
        and where known: foreign, devices."""
        memory = psutil.virtual_memory()
        usage: dict[str, Any] = {
            "cpu_usage": psutil.cpu_percent(None),
            "memory_usage": memory.used // BYTES_PER_MB,
            "memory_total": memory.total // BYTES_PER_MB,
        }
        external_usage = self._external_usage.amounts(time.monotonic())
        if external_usage is not None:
            usage["foreign"] = external_usage
        # A driver may take its time.
        devices = await asyncio.to_thread(self._devices.read) if self._devices is not None else []
        return usage | ({"devices": devices} if devices else {})
