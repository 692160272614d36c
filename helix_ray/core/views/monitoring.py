"""How hosts are, as questions are answered with it: MiB, percent, bytes, degrees Celsius; None: not known."""

from __future__ import annotations

from typing import TypedDict

from helix_ray.core.host_sample import DiskSample


class CpuView(TypedDict):
    """The processors: `usage` is percent of all `cores` in the last `window_s` seconds."""

    usage: float | None
    cores: float | None
    temperature: float | None
    temperature_source: str | None
    per_core: list[float]
    load: list[float]
    window_s: float | None
    source: str | None


class MemoryView(TypedDict):
    """The memory in MiB."""

    total: int | None
    used: int | None
    available: int | None
    percentage: float | None
    swap_total: int | None
    swap_used: int | None
    source: str | None


class DiskView(TypedDict):
    """The file systems of the product's folders in MiB, added up."""

    total: int | None
    used: int | None
    available: int | None
    percentage: float | None
    disks: list[DiskSample]


class NetworkView(TypedDict):
    """Bytes since boot, and per second over the last window."""

    rx_bytes: int | None
    tx_bytes: int | None
    rx_bytes_per_s: float | None
    tx_bytes_per_s: float | None
    interfaces: list[str]


class MachineView(TypedDict):
    """The whole machine of a container that has limits of its own."""

    cores: int
    usage: float | None
    memory_total: int | None
    memory_available: int | None


class ProcessesView(TypedDict):
    """The product's own processes of one role: percent of one core, None before there are two samples; MiB
    that they have for themselves."""

    role: str
    count: int
    cpu: float | None
    memory: float


class FiguresView(TypedDict):
    """The figures of one host, or of all."""

    cpu: CpuView
    memory: MemoryView
    disk: DiskView
    network: NetworkView


class HostView(FiguresView):
    """One host, with the nodes that run there and when it was measured, in epoch seconds."""

    hostname: str
    nodes: list[str]
    measured_at: float | None
    machine: MachineView | None
    processes: list[ProcessesView]
    # Figures that are over a threshold, with the level.
    over: dict[str, str]


class SeriesView(TypedDict):
    """The figures of points, in a list for each: None is a gap. MiB, percent, bytes, degrees Celsius; each is
    the mean of its time, but `cpu_max` the maximum."""

    cpu: list[float | None]
    cpu_max: list[float | None]
    memory_used: list[int | None]
    memory_total: list[int | None]
    swap_used: list[int | None]
    disk_used: list[int | None]
    disk_total: list[int | None]
    rx_bytes_per_s: list[float | None]
    tx_bytes_per_s: list[float | None]
    load: list[float | None]
    temperature: list[float | None]


class HostHistoryView(SeriesView):
    """The points of one host."""

    hostname: str


class HistoryView(TypedDict):
    """The points of hosts: the first begins at `since`, in epoch seconds, and each has `step` seconds;
    `until` is when the last one ends."""

    since: float
    until: float
    step: int
    hosts: list[HostHistoryView]


class SystemView(FiguresView):
    """All hosts, or the one of `node`; `count` is how many there are, `known` how many were measured. With a
    history where one was asked for."""

    node: str | None
    count: int
    known: int
    hosts: list[HostView]
    processes: list[ProcessesView]
    history: HistoryView | None
