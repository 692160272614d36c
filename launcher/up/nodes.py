"""The resources of each local Ray node: a share of the machine, and the additions of `--node-resources`."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass

import psutil

from actors import labels
from actors.devices import resources_of
from helix_ray.accelerators.device import Reading
from helix_ray.accelerators.families import capabilities_of

OBJECT_STORE_BYTES = 128 << 20
MEMORY_SHARE = 0.7
# Stable, so that the records of `local-0` belong to it after a restart as well.
NAME_PREFIX = "local-"
# Ray has separate arguments for these; every other name is a custom resource.
CPU, GPU, MEMORY, OBJECT_STORE = "CPU", "GPU", "memory", "object_store_memory"


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeSpec:
    """One local node; memory in bytes. `gpus` None: Ray detects them."""

    cpus: float
    gpus: float | None
    memory_bytes: int
    object_store_bytes: int
    resources: dict[str, float]
    labels: dict[str, str]


def plan(
    count: int,
    given: list[dict[str, float]],
    readings: Sequence[Reading] = (),
    capabilities: Sequence[str] = (),
) -> list[NodeSpec]:
    """Share the machine among `count` nodes: cores // count CPUs each, at least one, and
    MEMORY_SHARE of what is free.

    Values in a node's own object (CPU, GPU, memory, object_store_memory in bytes, any other name) replace its
    share. Accelerators declared there are logical: the node carries the label `helix-simulated` with their
    names, joined by dots. Real devices and their memory belong to the first node; otherwise three raylets
    would offer each GPU three times.
    """
    cpus = max(1, len(os.sched_getaffinity(0)) // count)
    memory = int(psutil.virtual_memory().available * MEMORY_SHARE / count)
    padded = given + [{}] * (count - len(given))
    specs = [_spec(index, own, cpus, memory) for index, own in enumerate(padded)]
    real = [reading for reading in readings if reading.device.kind.upper() not in padded[0]]
    for name, amount in resources_of(real).items():
        specs[0].resources.setdefault(name, amount)
    own = capabilities_of([reading.device for reading in real])
    for spec in specs:
        able = labels.capabilities_label(capabilities, own if spec is specs[0] else ())
        if able:
            spec.labels[labels.CAPABILITIES] = able
    return specs


def _spec(index: int, own: dict[str, float], cpus: int, memory_bytes: int) -> NodeSpec:
    simulated = sorted(name for name, n in own.items() if n > 0 and name not in (CPU, MEMORY, OBJECT_STORE))
    own_labels = {labels.INDEX: str(index), labels.NODE: f"{NAME_PREFIX}{index}"}
    if simulated:
        own_labels[labels.SIMULATED] = ".".join(simulated)
    return NodeSpec(
        cpus=own.get(CPU, cpus),
        gpus=own.get(GPU, None if index == 0 else 0),
        memory_bytes=int(own.get(MEMORY, memory_bytes)),
        object_store_bytes=int(own.get(OBJECT_STORE, OBJECT_STORE_BYTES)),
        resources={name: n for name, n in own.items() if name not in (CPU, GPU, MEMORY, OBJECT_STORE)},
        labels=own_labels,
    )
