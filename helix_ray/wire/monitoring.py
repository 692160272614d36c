"""How the hosts are, in JSON."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, with_config
from typing_extensions import TypedDict

from helix_ray.core.views.monitoring import HostView, SystemView
from helix_ray.wire.times import iso_or_none
from helix_ray.wire.values import CLOSED, Id

Percent = Annotated[float | None, Field(examples=[35.5])]
MiB = Annotated[int | None, Field(examples=[16384])]


class SystemQuery(BaseModel):
    """The query of system figures: of the host of one node only."""

    model_config = ConfigDict(extra="forbid")

    node: Id | None = None


@with_config(CLOSED)
class CpuOut(TypedDict):
    """Processors: percent of all cores over the last `window_s` seconds; a temperature that no sensor gives
    is null."""

    usage: Percent
    cores: float | None
    temperature: Annotated[float | None, Field(examples=[45.2])]
    temperature_source: str | None
    per_core: list[float]
    load: list[float]
    window_s: float | None
    source: str | None


@with_config(CLOSED)
class MemoryOut(TypedDict):
    """Memory in MiB; of a container with a limit, the container's."""

    total: MiB
    used: MiB
    available: MiB
    percentage: Percent
    swap_total: MiB
    swap_used: MiB
    source: str | None


@with_config(CLOSED)
class OneDiskOut(TypedDict):
    """A file system in MiB, by a folder in it."""

    path: str
    total_mb: int
    used_mb: int
    available_mb: int


@with_config(CLOSED)
class DiskOut(TypedDict):
    """The file systems that the product writes to, in MiB, added up."""

    total: MiB
    used: MiB
    available: MiB
    percentage: Percent
    disks: list[OneDiskOut]


@with_config(CLOSED)
class NetworkOut(TypedDict):
    """Bytes since boot without the loopback, and bytes per second in the last window."""

    rx_bytes: int | None
    tx_bytes: int | None
    rx_bytes_per_s: float | None
    tx_bytes_per_s: float | None
    interfaces: list[str]


@with_config(CLOSED)
class MachineOut(TypedDict):
    """The whole machine of a container that has limits of its own."""

    cores: int
    usage: Percent
    memory_total: MiB
    memory_available: MiB


@with_config(CLOSED)
class FiguresOut(TypedDict):
    """The figures of a host."""

    cpu: CpuOut
    memory: MemoryOut
    disk: DiskOut
    network: NetworkOut


@with_config(CLOSED)
class HostOut(FiguresOut):
    """A host, the nodes that run there, and when it was measured."""

    hostname: str
    nodes: list[str]
    measured_at: str | None
    machine: MachineOut | None


@with_config(CLOSED)
class SystemOut(FiguresOut):
    """The hosts of the cluster added up, or that of `node`; `known` of the `count` hosts were measured."""

    node: str | None
    count: int
    known: int
    hosts: list[HostOut]


def system_out(view: SystemView) -> SystemOut:
    """Return the figures with ISO times."""
    return {**view, "hosts": [_host_out(host) for host in view["hosts"]]}


def _host_out(host: HostView) -> HostOut:
    return {**host, "measured_at": iso_or_none(host["measured_at"])}
