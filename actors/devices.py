"""The devices of this host, with Ray's own NVML binding."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from actors import labels, ray_seams
from helix_ray.accelerators.device import GPU, NPU, Reading
from helix_ray.accelerators.families import families, memory_mb, read_once
from helix_ray.accelerators.host import Host
from helix_ray.accelerators.sampler import Sampler
from helix_ray.core.device_usage import logical_resources

BYTES_PER_MB = 1024 * 1024
# What tasks ask for as `npu`, where Ray does not count the device itself.
NPU_RESOURCE = "NPU"


def readings_here(all_smi_url: str = "") -> list[Reading]:
    """Return one reading of each device of this host."""
    return read_once(Host(), families(ray_seams.nvml(), all_smi_url))


def resources_of(found: Sequence[Reading]) -> dict[str, float]:
    """Return the resources of devices beside those that Ray counts: NPUs, and the memory of all GPUs."""
    npus = sum(r.device.kind == NPU and not r.device.counted_by_ray for r in found)
    amounts = {NPU_RESOURCE: float(npus), labels.GPU_MEMORY: memory_mb(found)}
    return {name: amount for name, amount in amounts.items() if amount > 0}


def sampler_of(resources: Mapping[str, float], given: Mapping[str, str], all_smi_url: str) -> Sampler | None:
    """Return what samples the devices of a node, from its resources and labels; None where it tells none.

    Of several nodes on one host only the first reports the host's devices; kinds that are logical there,
    or are counted by Ray and were withheld from the node, are not its own.
    """
    if given.get(labels.INDEX, "0") != "0":
        return None
    kinds = frozenset({GPU, NPU}.difference(logical_resources(given)))
    nvml = ray_seams.nvml() if resources.get("gpu", 0.0) > 0 and GPU in kinds else None
    return Sampler(Host(), families(nvml, all_smi_url), kinds=kinds) if kinds else None
