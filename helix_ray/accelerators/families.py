"""All families of devices, and what is found on a host."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from functools import partial
from typing import Any

from helix_ray.accelerators.adreno import ADRENO, HEXAGON
from helix_ray.accelerators.all_smi import AllSmi
from helix_ray.accelerators.amd import AMD_GPU
from helix_ray.accelerators.ascend import ASCEND
from helix_ray.accelerators.device import GPU, Device, Reading
from helix_ray.accelerators.host import Family, Host
from helix_ray.accelerators.intel_gpu import INTEL_GPU
from helix_ray.accelerators.intel_npu import INTEL_NPU
from helix_ray.accelerators.jetson import JETSON
from helix_ray.accelerators.mali import MALI
from helix_ray.accelerators.named import NAMED
from helix_ray.accelerators.nvidia import Nvidia
from helix_ray.accelerators.rockchip import ROCKCHIP
from helix_ray.accelerators.watched import CALL_S_MAX, DriverHangs, Watched
from helix_ray.accelerators.xdna import Xdna

log = logging.getLogger(__name__)


def families(nvml: Any = None, all_smi_url: str = "") -> list[Family]:
    """Return the families; NVIDIA's needs a binding of NVML, and all-smi's an address."""
    files: list[Family] = [
        JETSON,
        AMD_GPU,
        INTEL_GPU,
        MALI,
        ADRENO,
        INTEL_NPU,
        Xdna(),
        ROCKCHIP,
        HEXAGON,
        ASCEND,
        NAMED,
    ]
    found: list[Family] = [*([Nvidia(nvml)] if nvml is not None else []), *files]
    return [*found, AllSmi(all_smi_url)] if all_smi_url else found


def read_once(host: Host, of: Sequence[Family], call_s_max: float = CALL_S_MAX) -> list[Reading]:
    """Return one reading of each device, for a start: a driver that does not answer has none."""
    readings: list[Reading] = []
    for family in of:
        try:
            readings += Watched(family.name, call_s_max).call(partial(family.readings, host))
        except DriverHangs:
            log.warning("%s: the driver does not answer; going on without its devices", family.name)
        except Exception:
            log.exception("%s cannot be read; going on without its devices", family.name)
    return readings


def capabilities_of(devices: Sequence[Device]) -> list[str]:
    """Return the capabilities of devices that Ray does not count: `gpu`, and then each maker's.

    NPUs are a resource of their node, and so a capability already.
    """
    uncounted = [device for device in devices if not device.counted_by_ray]
    general = [GPU] if any(device.kind == GPU for device in uncounted) else []
    return [*general, *sorted({device.capability for device in uncounted})]


def memory_mb(readings: Sequence[Reading]) -> float:
    """Return the memory of all GPUs in MiB as tasks may ask for it; 0 where no driver reports it.

    Unified memory is the host's, once, and counts only where no GPU has memory of its own.
    """
    gpus = [reading.memory for reading in readings if reading.device.kind == GPU]
    own = sum(memory.total_mb or 0 for memory in gpus if not memory.unified)
    return float(own or max((memory.total_mb or 0 for memory in gpus), default=0))
