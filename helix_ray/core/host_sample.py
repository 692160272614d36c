"""How a host is, as heartbeats carry it: what is not known is left out, since a null costs a closer look."""

from __future__ import annotations

from typing import NamedTuple, NotRequired, TypedDict


class DiskSample(TypedDict):
    """A file system in MiB: `available` is what programs without privileges may still use."""

    path: str
    total_mb: int
    used_mb: int
    available_mb: int


def percent_full(used: float | None, available: float | None) -> float | None:
    """Return how full a disk is: what its file system reserves for root is neither used nor available, as in
    `df`, so one on which nothing can be written is at 100."""
    if used is None or available is None or not used + available:
        return None
    return round(100.0 * used / (used + available), 1)


class ProcessSample(TypedDict):
    """Our processes of one role on a node: percent of one core, and MiB that each has for itself."""

    role: str
    count: int
    memory_mb: float
    cpu_percent: NotRequired[float]


class HostSample(TypedDict, total=False):
    """A host, or the container in which its node runs.

    Percent of `cores` over the last `cpu_window_s` seconds, MiB, bytes since boot and per second, degrees
    Celsius. A source is a file of the kernel. With a limit of a control group, CPU and memory are the
    group's, and those of the whole machine are beside them as `machine_*`.
    """

    cores: float
    cpu_percent: float
    cpu_per_core: list[float]
    cpu_window_s: float
    cpu_source: str
    machine_cores: int
    machine_cpu_percent: float
    memory_total_mb: int
    memory_used_mb: int
    memory_available_mb: int
    memory_source: str
    machine_memory_total_mb: int
    machine_memory_available_mb: int
    swap_total_mb: int
    swap_used_mb: int
    disks: list[DiskSample]
    rx_bytes: int
    tx_bytes: int
    rx_bytes_per_s: float
    tx_bytes_per_s: float
    interfaces: list[str]
    load: list[float]
    temperature: float
    temperature_source: str


class HeardSample(NamedTuple):
    """A sample, the host and the node that it is of, and when it came, in epoch seconds."""

    hostname: str
    node_id: str
    wall: float
    sample: HostSample
