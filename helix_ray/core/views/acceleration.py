"""Accelerators as questions are answered with them: how busy they are, and what models run with."""

from __future__ import annotations

from typing import TypedDict

from helix_ray.core.specs import DevicePoint, DeviceUsage


class DeviceHistoryView(DeviceUsage):
    """A device as last measured, and its points, oldest first."""

    history: list[DevicePoint]


class NodeDevicesView(TypedDict):
    """The devices of a node; `point_s` is the length of a point of their histories."""

    node: str
    measured_at: float | None
    point_s: float
    devices: list[DeviceHistoryView]


class NodeDeviceView(DeviceUsage):
    """A device and its node; of a logical one only that it is `simulated` is known."""

    node: str
    simulated: bool


class AcceleratorView(TypedDict):
    """One kind of accelerator: the mean utilization over the devices that report one.

    `count` counts all real devices, `known` those whose utilization is known; of many, some are listed.
    """

    available: bool
    model: str | None
    utilization: float | None
    source: str | None
    window_s: float | None
    reason: str | None
    simulated: bool
    count: int
    known: int
    devices: list[NodeDeviceView]


class VariantInUseView(TypedDict):
    """A variant that a model runs in: the precision of its file, and the arithmetic of its provider."""

    model: str
    variant: str
    precision: str
    compute: str


class OptimizationsView(TypedDict):
    """What models run with; `compute` is the arithmetic, `precision` that of the files."""

    quantization: str
    pruning: str
    precision: str
    compute: str
    quantization_reason: str | None
    pruning_reason: str | None
    precision_reason: str | None
    models: list[VariantInUseView]


class AccelerationView(TypedDict):
    """The accelerators of the cluster, or of one node."""

    node: str | None
    npu: AcceleratorView
    gpu: AcceleratorView
    optimizations: OptimizationsView
