"""NVIDIA GPUs, by their driver's library (NVML), through the binding that is passed in."""

from __future__ import annotations

import re
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import Any

from helix_ray.accelerators import drm
from helix_ray.accelerators.device import (
    GPU,
    Device,
    DeviceMemory,
    Reading,
    Utilization,
    percent,
    suspended,
    unknown,
)
from helix_ray.accelerators.files import entries, is_suspended, shown, system_memory_mb, text, whole_mb
from helix_ray.accelerators.host import Host
from helix_ray.accelerators.jetson import JETSON

VENDOR, DRIVER = "0x10de", "nvidia"
RATES, MEMORY = "nvmlDeviceGetUtilizationRates", "nvmlDeviceGetMemoryInfo"
# The driver takes the mean of the last sixth of a second to second, depending on the product.
WINDOW_S = 1.0
MIG = "mig"
RETRY_S, RETRY_S_MAX = 1.0, 60.0
MODEL = re.compile(r"^Model:\s+(.+)$", re.MULTILINE)


class Nvidia:
    """Keeps NVML open and opens it again after an error, with growing waits; not for concurrent use."""

    name = "NVIDIA GPU"

    def __init__(self, binding: Any) -> None:
        self._nvml = binding
        self._open = False
        self._known: list[Device] = []
        self._retry_s, self._retry_at = RETRY_S, 0.0
        self._why = ""

    def find(self, host: Host) -> list[Device]:
        """Return the devices that there are, also while the driver does not answer."""
        return [reading.device for reading in self.readings(host)]

    def readings(self, host: Host) -> list[Reading]:
        """Return what can be read of each."""
        if JETSON.find(host):
            return []
        asleep = _all_asleep(host)
        if asleep:
            return [suspended(device) for device in asleep]
        if not self._open and host.clock() >= self._retry_at:
            self._try_open(host)
        if self._open:
            try:
                return self._read_all(host)
            except self._nvml.NVMLError as error:
                self._fail(host, str(error))
        # With no device ever seen there is nothing to say, unless the kernel knows one.
        known = self._known or _in_proc(host)
        return [
            Reading(d, unknown(f"NVML: {self._why}", RATES), DeviceMemory(reason=f"NVML: {self._why}"))
            for d in known
        ]

    def _try_open(self, host: Host) -> None:
        try:
            self._nvml.nvmlInit()
        except self._nvml.NVMLError as error:
            self._fail(host, str(error))
        else:
            self._open, self._retry_s = True, RETRY_S

    def _fail(self, host: Host, why: str) -> None:
        """Close NVML: its handles are void after the driver was loaded again."""
        if self._open:
            with suppress(self._nvml.NVMLError):
                self._nvml.nvmlShutdown()
        self._open, self._why = False, why
        self._retry_at = host.clock() + self._retry_s
        self._retry_s = min(RETRY_S_MAX, 2 * self._retry_s)

    def _read_all(self, host: Host) -> list[Reading]:
        count = self._nvml.nvmlDeviceGetCount()
        found = [self._read(host, index) for index in range(count)]
        self._known = [reading.device for reading in found]
        return found

    def _read(self, host: Host, index: int) -> Reading:
        handle, why = self._ask(self._nvml.nvmlDeviceGetHandleByIndex, index)
        if handle is None:
            # One card of several is lost.
            known = self._known[index] if index < len(self._known) else _device(index, None, None)
            return Reading(known, unknown(f"NVML: {why}", RATES), DeviceMemory(reason=f"NVML: {why}"))
        name, _ = self._ask(self._nvml.nvmlDeviceGetName, handle)
        name = name.decode() if isinstance(name, bytes) else name
        uuid, _ = self._ask(self._nvml.nvmlDeviceGetUUID, handle)
        uuid = uuid.decode() if isinstance(uuid, bytes) else uuid
        device = _device(index, uuid, name)
        mode, _ = self._ask(self._nvml.nvmlDeviceGetMigMode, handle)
        if mode is not None and mode[0]:
            return Reading(device, unknown(MIG, RATES), self._memory(host, handle), self._instances(handle))
        return Reading(device, self._utilization(handle), self._memory(host, handle))

    def _instances(self, handle: Any) -> str:
        """Return how much memory each instance of a card under MIG uses, of how much."""
        most, _ = self._ask(self._nvml.nvmlDeviceGetMaxMigDeviceCount, handle)
        said = []
        for index in range(most or 0):
            part, _ = self._ask(partial(self._nvml.nvmlDeviceGetMigDeviceHandleByIndex, handle), index)
            info = None if part is None else self._ask(self._nvml.nvmlDeviceGetMemoryInfo, part)[0]
            if info is not None:
                said.append(f"{whole_mb(info.used)} of {whole_mb(info.total)} MiB")
        return f"{len(said)} instances: {', '.join(said)}" if said else "no instances"

    def _utilization(self, handle: Any) -> Utilization:
        rates, why = self._ask(self._nvml.nvmlDeviceGetUtilizationRates, handle)
        return unknown(why, RATES) if rates is None else percent(float(rates.gpu), RATES, WINDOW_S)

    def _memory(self, host: Host, handle: Any) -> DeviceMemory:
        """A chip with unified memory says that it is not supported, or an impossible amount, by driver."""
        info, why = self._ask(self._nvml.nvmlDeviceGetMemoryInfo, handle)
        if info is not None and 0 < info.total < 1 << 60 and 0 <= info.used <= info.total:
            return DeviceMemory(whole_mb(info.used), whole_mb(info.total), MEMORY)
        if info is None and "not supported" not in why.lower():
            return DeviceMemory(reason=f"NVML: {why}")
        used = self._used_by_processes(handle)
        return DeviceMemory(
            used, system_memory_mb(host.root), "nvmlDeviceGetComputeRunningProcesses, meminfo", unified=True
        )

    def _used_by_processes(self, handle: Any) -> int | None:
        running, _ = self._ask(self._nvml.nvmlDeviceGetComputeRunningProcesses, handle)
        sizes = [process.usedGpuMemory for process in running or ()]
        return None if running is None or None in sizes else whole_mb(sum(sizes))

    def _ask(self, question: Callable[[Any], Any], of: Any) -> tuple[Any, str]:
        """Return an answer, or None and why. Raises NVMLError where the driver itself is gone."""
        try:
            return question(of), ""
        except self._nvml.NVMLError as error:
            if _is_of_the_driver(error):
                raise
            return None, str(error)


def _is_of_the_driver(error: Exception) -> bool:
    """Say whether an error concerns the driver and not only what was asked."""
    said = str(error).lower()
    return any(part in said for part in ("uninitialized", "not loaded", "mismatch", "unknown error"))


def _device(index: int, uuid: str | None, name: str | None) -> Device:
    return Device(
        uuid or f"nvidia{index}", GPU, "NVIDIA", "nvidia-gpu", f"/dev/nvidia{index}", DRIVER, name,
        counted_by_ray=True,
    )  # fmt: skip


def _all_asleep(host: Host) -> list[Device]:
    """Return the cards where the kernel has put all of them to sleep: NVML would wake them."""
    cards = [card for card in drm.cards(host) if (card.vendor, card.driver) == (VENDOR, DRIVER)]
    if not cards or not all(is_suspended(card.device) for card in cards):
        return []
    names = {device.id: device.name for device in _in_proc(host)}
    return [
        Device(
            card.id, GPU, "NVIDIA", "nvidia-gpu", shown(host.root, card.path), DRIVER, names.get(card.id),
            counted_by_ray=True,
        )
        for card in cards
    ]  # fmt: skip


def _in_proc(host: Host) -> list[Device]:
    """Return the devices of the kernel module, which are there without NVML too."""
    found = []
    for path in entries(host.root, "proc/driver/nvidia/gpus/*/information"):
        name = MODEL.search(text(path) or "")
        found.append(
            Device(
                path.parent.name, GPU, "NVIDIA", "nvidia-gpu", shown(host.root, path), DRIVER,
                name[1] if name else None, counted_by_ray=True,
            )
        )  # fmt: skip
    return found
