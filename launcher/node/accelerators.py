"""Accelerators of this host that Ray does not detect, found by their kernel driver.

Ray finds NVIDIA, AMD and Intel GPUs, TPUs, Gaudi, Neuron cores and Ascend NPUs by itself; those are not
looked for here.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

RESOURCE = "NPU"
# Class folders of the kernel whose entries have a `device/driver` link (Documentation/accel, drm).
CLASSES = ("sys/class/accel/accel*", "sys/class/drm/renderD*")
# Drivers of accelerators, by the capability that tasks ask for. Ray's own (habanalabs, neuron)
# are not among them.
DRIVERS = {
    "intel_vpu": "intel-npu",
    "amdxdna": "amd-npu",
    "rocket": "rockchip-npu",
    "rknpu": "rockchip-npu",
    "ethosu": "arm-npu",
    "qaic": "qualcomm-npu",
}
# Vendor drivers outside those classes, by their device files.
DEVICE_FILES = {"dev/rknpu*": "rockchip-npu", "dev/apex_*": "coral-tpu", "dev/hailo[0-9]*": "hailo-npu"}


@dataclass(frozen=True, slots=True)
class Accelerator:
    """One device: where it was found, and the capability that its driver implies."""

    path: str
    capability: str
    driver: str | None


def find(root: Path = Path("/")) -> list[Accelerator]:
    """Return the accelerators of the host whose file system begins at `root`, each once."""
    found = list(_by_class(root))
    # A driver may expose the same device in both places.
    known = {accelerator.capability for accelerator in found}
    for pattern, capability in DEVICE_FILES.items():
        if capability not in known:
            found += [Accelerator(str(path), capability, None) for path in sorted(root.glob(pattern))]
    return found


def _by_class(root: Path) -> Iterator[Accelerator]:
    seen: set[Path] = set()
    for pattern in CLASSES:
        for entry in sorted(root.glob(pattern)):
            device, driver = (entry / "device").resolve(), entry / "device" / "driver"
            if device in seen or not driver.exists():
                continue
            name = driver.resolve().name
            capability = DRIVERS.get(name.lower())
            if capability is not None:
                seen.add(device)
                yield Accelerator(str(entry), capability, name)
