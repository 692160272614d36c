"""The figures of host and node in a node worker's heartbeat."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TypedDict

from actors.devices import sampler_of
from actors.labels import MODELS
from helix_ray.accelerators.device import GPU
from helix_ray.core.device_usage import logical_resources
from helix_ray.core.folder_models import models_label
from helix_ray.core.orders import RegisterWorker
from helix_ray.core.specs import Usage
from helix_ray.core.state import Demand
from helix_ray.execution.external_usage import ExternalUsage
from helix_ray.inference.folder import model_names
from helix_ray.inference.node_class import node_class, nvidia_gpus
from helix_ray.monitoring.host import HostSampler
from helix_ray.monitoring.processes import ProcessSampler


class NodeOffer(TypedDict):
    """What a node's worker registers: who it is, its resources in our names, its labels and capabilities."""

    worker_id: str
    node_id: str
    hostname: str
    resources: dict[str, float]
    labels: dict[str, str]
    capabilities: list[str]


def has_real_gpus(offer: NodeOffer) -> bool:
    """Say whether the node has the GPUs of its host: of several nodes on one host only one does."""
    return offer["resources"].get("gpu", 0.0) > 0 and GPU not in logical_resources(offer["labels"])


def inference_class(offer: NodeOffer) -> str:
    """Return what nodes with the same speed of models share: hardware, driver, runtime (docs/models.md)."""
    if not has_real_gpus(offer):
        return node_class(gpus=[]).name
    # A container may lack the driver's files, where Ray still knows the card.
    ray_said = offer["labels"].get("ray.io/accelerator-type")
    return node_class(gpus=nvidia_gpus() or ([ray_said] if ray_said else [])).name


def registration(offer: NodeOffer, boot: str) -> RegisterWorker:
    """Return the order that registers a node's worker."""
    return RegisterWorker(
        offer["hostname"],
        tuple(offer["capabilities"]),
        {**offer["resources"]},
        worker_id=offer["worker_id"],
        kind="node",
        node_id=offer["node_id"],
        boot=boot,
        labels=offer["labels"],
    )


def tell_models(offer: NodeOffer, folder: Path) -> bool:
    """Have an offer tell the models in the node's folder; return whether they are others than before."""
    label = models_label(model_names(folder))
    before = offer["labels"].get(MODELS)
    offer["labels"] = {name: value for name, value in offer["labels"].items() if name != MODELS}
    if label is not None:
        offer["labels"][MODELS] = label
    return label != before


class NodeUsage:
    """The figures of one node: those of its host, and its external usage."""

    def __init__(self, offer: NodeOffer, all_smi_url: str = "", folders: Sequence[Path] = ()) -> None:
        """`folders` are those that the product writes to: their file systems are measured."""
        self._host = HostSampler(folders)
        self._processes = ProcessSampler(int(os.environ.get("RAY_RAYLET_PID") or os.getppid()))
        self._external_usage = ExternalUsage(offer["resources"])
        self._devices = sampler_of(offer["resources"], offer["labels"], all_smi_url)
        if self._devices is not None:
            self._devices.start()

    def sample(self, free: Mapping[str, float], own: Iterable[Demand]) -> None:
        """Record what Ray has free on the node, and what our executors use or have requested."""
        self._external_usage.sample(free, own, time.monotonic())

    def external_usage(self) -> Demand:
        """Return what other programs on the cluster use; empty where that is unknown."""
        return tuple((self._external_usage.amounts(time.monotonic()) or {}).items())

    def stop(self) -> None:
        """Stop sampling the devices."""
        if self._devices is not None:
            self._devices.stop()

    async def read(self) -> Usage:
        """Return cpu_usage (percent), memory_usage and memory_total (MiB), the host, our processes, and where
        known: foreign, devices."""
        # On a thread: a file system that does not respond must not hold up what runs on the loop.
        host, processes = await asyncio.to_thread(lambda: (self._host.read(), self._processes.read()))
        usage: Usage = {"host": host, "processes": processes}
        if "cpu_percent" in host:
            usage["cpu_usage"] = host["cpu_percent"]
        if "memory_total_mb" in host:
            usage["memory_usage"], usage["memory_total"] = host["memory_used_mb"], host["memory_total_mb"]
        external_usage = self._external_usage.amounts(time.monotonic())
        if external_usage is not None:
            usage["foreign"] = external_usage
        devices = self._devices.latest() if self._devices is not None else []
        if devices:
            usage["devices"] = devices
        return usage
