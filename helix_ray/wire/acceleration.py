"""Accelerators in JSON: what there is, how busy it is and was, and what models run with."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, with_config
from typing_extensions import TypedDict

from helix_ray.core.device_history import POINTS_MAX
from helix_ray.core.views.acceleration import NodeDevicesView
from helix_ray.wire.times import iso, iso_or_none
from helix_ray.wire.values import CLOSED, Id

Percent = Annotated[float | None, Field(examples=[45.5])]


class AccelerationQuery(BaseModel):
    """The query of an acceleration: of one node only."""

    model_config = ConfigDict(extra="forbid")

    node: Id | None = Field(None, description="The id of the only node to describe.")


class DevicesQuery(BaseModel):
    """The query of a node's devices: how many points of their histories, from the newest back."""

    model_config = ConfigDict(extra="forbid")

    points: Annotated[int, Field(ge=0, le=POINTS_MAX)] = Field(
        POINTS_MAX, description="How many points of each device's history, from the newest back."
    )


@with_config(CLOSED)
class DeviceOut(TypedDict):
    """A device as last measured: percent of the last `window_s` seconds (0: an instant, null: the `source`
    does not state it), and MiB. What is null has its `reason`; `unified` memory is the host's."""

    index: int
    id: str
    kind: Annotated[str, Field(examples=["gpu", "npu"])]
    vendor: str
    name: str | None
    driver: str | None
    utilization: Percent
    source: str | None
    window_s: float | None
    reason: str | None
    memory_used_mb: int | None
    memory_total_mb: int | None
    memory_source: str | None
    memory_reason: str | None
    unified: bool
    note: str | None


@with_config(CLOSED)
class DevicePointOut(TypedDict):
    """A point of a device's history: mean and maximum of `point_s` seconds from `at`."""

    at: str
    utilization: float | None
    utilization_max: float | None
    memory_used_mb: float | None


@with_config(CLOSED)
class DeviceWithHistory(DeviceOut):
    """A device, and its points, oldest first."""

    history: list[DevicePointOut]


@with_config(CLOSED)
class NodeDevicesOut(TypedDict):
    """The devices of a node and how busy they were."""

    node: str
    measured_at: str | None
    point_s: float
    devices: list[DeviceWithHistory]


@with_config(CLOSED)
class NodeDevice(DeviceOut):
    """A device and its node; a `simulated` one is a logical resource without a device."""

    node: str
    simulated: bool


@with_config(CLOSED)
class Accelerator(TypedDict):
    """One kind of accelerator. `utilization` is the mean over the `known` of the `count` devices, null where
    none is known; `simulated`: there are logical resources only."""

    available: bool
    model: Annotated[str | None, Field(examples=["Mali-G78"])]
    utilization: Percent
    source: str | None
    window_s: float | None
    reason: str | None
    simulated: bool
    count: int
    known: int
    devices: list[NodeDevice]


@with_config(CLOSED)
class VariantInUseOut(TypedDict):
    """A variant that a model runs in."""

    model: str
    variant: str
    precision: str
    compute: str


@with_config(CLOSED)
class Optimizations(TypedDict):
    """What models run with: `precision` is that of the files of most of them, `compute` their arithmetic."""

    quantization: Annotated[str, Field(examples=["enabled", "disabled"])]
    pruning: Annotated[str, Field(examples=["enabled", "disabled"])]
    precision: Annotated[str, Field(examples=["FP32", "FP16", "INT8"])]
    compute: str
    quantization_reason: str | None
    pruning_reason: str | None
    precision_reason: str | None
    models: list[VariantInUseOut]


@with_config(CLOSED)
class AccelerationOut(TypedDict):
    """The accelerators of the cluster, or of `node`."""

    npu: Accelerator
    gpu: Accelerator
    optimizations: Optimizations
    node: str | None


def node_devices_out(view: NodeDevicesView) -> NodeDevicesOut:
    """Return a node's devices with ISO times."""
    devices: list[DeviceWithHistory] = [
        {**device, "history": [{**point, "at": iso(point["at"])} for point in device["history"]]}
        for device in view["devices"]
    ]
    return {**view, "measured_at": iso_or_none(view["measured_at"]), "devices": devices}
