"""How the hosts are, in JSON."""

from __future__ import annotations

from typing import Annotated, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator, with_config
from typing_extensions import TypedDict

from helix_ray.core.questions import SystemFigures, SystemHistory
from helix_ray.core.views.monitoring import HistoryView, HostView, SystemView
from helix_ray.wire.times import epoch_of, iso, iso_or_none
from helix_ray.wire.values import CLOSED, Id

Percent = Annotated[float | None, Field(examples=[35.5])]
STEP_S_MAX = 86_400
MiB = Annotated[int | None, Field(examples=[16384])]


def _a_time(text: str) -> str:
    epoch_of(text)
    return text


Time = Annotated[str, AfterValidator(_a_time)]


class SystemQuery(BaseModel):
    """The query of system figures."""

    model_config = ConfigDict(extra="forbid")

    node: Id | None = Field(None, description="The id of the node whose host is described.")
    since: Time | None = Field(None, description="From when on the history is shown, in ISO 8601.")
    until: Time | None = Field(
        None, description="Until when the history is shown, exclusive; by default until the present."
    )
    step: Annotated[int, Field(ge=1, le=STEP_S_MAX)] | None = Field(
        None, description="Seconds of each value of the history; by default as few as there is room for."
    )

    @model_validator(mode="after")
    def _begins(self) -> Self:
        if self.since is None and (self.until is not None or self.step is not None):
            raise ValueError("until and step need since")
        return self

    def question(self) -> SystemFigures | SystemHistory:
        """Return the question."""
        if self.since is None:
            return SystemFigures(self.node)
        until = None if self.until is None else epoch_of(self.until)
        return SystemHistory(self.node, epoch_of(self.since), until, self.step)


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
class ProcessesOut(TypedDict):
    """The product's own processes of one role: percent of one core, and MiB without what is shared."""

    role: Annotated[str, Field(examples=["master"])]
    count: int
    cpu: Percent
    memory: float


@with_config(CLOSED)
class FiguresOut(TypedDict):
    """The figures of a host."""

    cpu: CpuOut
    memory: MemoryOut
    disk: DiskOut
    network: NetworkOut


@with_config(CLOSED)
class HostOut(FiguresOut):
    """A host, the nodes that run there, when it was measured, and its figures that are over a threshold."""

    hostname: str
    nodes: list[str]
    measured_at: str | None
    machine: MachineOut | None
    processes: list[ProcessesOut]
    over: Annotated[dict[str, str], Field(examples=[{"memory": "warning"}])]


@with_config(CLOSED)
class HostHistoryOut(TypedDict):
    """The points of a host: a list for each figure, in which null is a gap; means, and of `cpu_max` the
    maximum."""

    hostname: str
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


@with_config(CLOSED)
class HistoryOut(TypedDict):
    """Points of `step` seconds: the first begins at `since`, the last ends at `until`."""

    since: str
    until: str
    step: int
    hosts: list[HostHistoryOut]


@with_config(CLOSED)
class SystemOut(FiguresOut):
    """The hosts of the cluster added up, or that of `node`; `known` of the `count` hosts were measured.
    `history` is null unless the query has `since`."""

    node: str | None
    count: int
    known: int
    hosts: list[HostOut]
    processes: list[ProcessesOut]
    history: HistoryOut | None


def system_out(view: SystemView) -> SystemOut:
    """Return the figures with ISO times."""
    history = None if view["history"] is None else _history_out(view["history"])
    return {**view, "hosts": [_host_out(host) for host in view["hosts"]], "history": history}


def _history_out(view: HistoryView) -> HistoryOut:
    return {
        "since": iso(view["since"]), "until": iso(view["until"]), "step": view["step"],
        "hosts": [{**host} for host in view["hosts"]],
    }  # fmt: skip


def _host_out(host: HostView) -> HostOut:
    return {**host, "measured_at": iso_or_none(host["measured_at"])}
