"""The sampler of a host: the only reader of its counters, so that nobody shortens another's window.

What is read here costs less than a millisecond; values that need two samples are missing from the first one.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from helix_ray.accelerators.files import BYTES_PER_MB, KB_PER_MB, as_number, memory_kb, text
from helix_ray.core.host_sample import DiskSample, HostSample
from helix_ray.monitoring import cpu
from helix_ray.monitoring.cgroup import Group, group_of
from helix_ray.monitoring.network import Traffic, traffic
from helix_ray.monitoring.rates import Rates
from helix_ray.monitoring.temperature import temperature

MEMORY_SOURCE = "/proc/meminfo"


class HostSampler:
    """Reads the host below `root`, with the file systems that have the `folders`."""

    def __init__(
        self,
        folders: Sequence[Path] = (Path("/"),),
        root: Path = Path("/"),
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._folders = folders
        self._root = root
        self._cpu, self._group, self._net = Rates(clock), Rates(clock), Rates(clock)

    def read(self) -> HostSample:
        """Return how the host is."""
        sample: HostSample = {}
        group = group_of(self._root)
        self._add_cpu(sample, group)
        self._add_memory(sample, group)
        self._add_network(sample)
        sample["disks"] = disks(self._folders)
        load = [as_number(word) for word in (text(self._root / "proc/loadavg") or "").split()[:3]]
        if known := [number for number in load if number is not None]:
            sample["load"] = known
        found = temperature(self._root)
        if found is not None:
            sample["temperature"], sample["temperature_source"] = found
        return sample

    def _add_cpu(self, sample: HostSample, group: Group) -> None:
        ticks = cpu.ticks(self._root)
        cores, used = cpu.count_cores(ticks), cpu.use(ticks, self._cpu)
        own = self._group.measure({"cpu_s": group.cpu_s} if group.cpu_s is not None else {})
        if cores is None:
            return
        if used is not None:
            sample["cpu_per_core"] = used.per_core
        if group.cores_max is None or group.cores_max >= cores:
            sample["cores"], sample["cpu_source"] = float(cores), cpu.SOURCE
            if used is not None:
                sample["cpu_percent"], sample["cpu_window_s"] = used.percent, round(used.seconds, 2)
            return
        sample["cores"], sample["cpu_source"] = group.cores_max, group.cpu_source
        sample["machine_cores"] = cores
        if used is not None:
            sample["machine_cpu_percent"] = used.percent
        if own is not None and "cpu_s" in own.gained:
            share = own.gained["cpu_s"] / own.seconds / group.cores_max
            sample["cpu_percent"] = round(min(100.0, 100.0 * share), 1)
            sample["cpu_window_s"] = round(own.seconds, 2)

    def _add_memory(self, sample: HostSample, group: Group) -> None:
        said = memory_kb(self._root)
        total, available = said.get("MemTotal"), said.get("MemAvailable")
        if total is None or available is None:
            return
        if "SwapTotal" in said and "SwapFree" in said:
            sample["swap_total_mb"] = said["SwapTotal"] // KB_PER_MB
            sample["swap_used_mb"] = (said["SwapTotal"] - said["SwapFree"]) // KB_PER_MB
        total_mb, available_mb = total // KB_PER_MB, available // KB_PER_MB
        limit_mb = None if group.memory_max is None else int(group.memory_max) // BYTES_PER_MB
        if limit_mb is None or limit_mb >= total_mb or group.memory_used is None:
            sample["memory_total_mb"], sample["memory_available_mb"] = total_mb, available_mb
            sample["memory_used_mb"], sample["memory_source"] = total_mb - available_mb, MEMORY_SOURCE
            return
        used_mb = min(limit_mb, int(group.memory_used) // BYTES_PER_MB)
        sample["memory_total_mb"], sample["memory_used_mb"] = limit_mb, used_mb
        sample["memory_available_mb"] = min(limit_mb - used_mb, available_mb)
        sample["memory_source"] = group.memory_source
        sample["machine_memory_total_mb"] = total_mb
        sample["machine_memory_available_mb"] = available_mb

    def _add_network(self, sample: HostSample) -> None:
        found = traffic(self._root)
        if found is None:
            return
        sample["rx_bytes"], sample["tx_bytes"] = found.total("rx"), found.total("tx")
        sample["interfaces"] = found.interfaces
        window = self._net.measure(found.counts)
        # Where an interface went away or its counter went back, the rate is not known.
        if window is None or window.gained.keys() != found.counts.keys():
            return
        gained = Traffic(window.gained, found.interfaces)
        sample["rx_bytes_per_s"] = round(gained.total("rx") / window.seconds, 1)
        sample["tx_bytes_per_s"] = round(gained.total("tx") / window.seconds, 1)


def disks(folders: Sequence[Path]) -> list[DiskSample]:
    """Return the file systems that have the folders, each once."""
    found: dict[int, DiskSample] = {}
    for folder in folders:
        try:
            device, said = os.stat(folder).st_dev, os.statvfs(folder)
        except OSError:
            continue
        unit = said.f_frsize
        found.setdefault(
            device,
            {
                "path": str(folder),
                "total_mb": said.f_blocks * unit // BYTES_PER_MB,
                "used_mb": (said.f_blocks - said.f_bfree) * unit // BYTES_PER_MB,
                "available_mb": said.f_bavail * unit // BYTES_PER_MB,
            },
        )
    return list(found.values())
