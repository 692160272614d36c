"""Huawei Ascend NPUs: by their device files, read with the vendor's tool npu-smi."""

from __future__ import annotations

import re

from helix_ray.accelerators.device import NOT_REPORTED, NPU, Device, DeviceMemory, Reading, percent, unknown
from helix_ray.accelerators.files import BYTES_PER_MB, as_number, entries, shown, whole_mb
from helix_ray.accelerators.host import FileFamily, Host

TOOL = "npu-smi"
SOURCE = f"{TOOL} info -t usages"
LINE = re.compile(r"^\s*([A-Za-z][A-Za-z .]*?)\s*(?:\([^)]*\))?\s*:\s*(\S+)", re.MULTILINE)


def _find(host: Host) -> list[Device]:
    return [
        Device(
            path.name, NPU, "Huawei", "ascend-npu", shown(host.root, path), "davinci", "Ascend NPU",
            counted_by_ray=True,
        )
        for path in entries(host.root, "dev/davinci*", "davinci[0-9]+")
    ]  # fmt: skip


def _read(host: Host, device: Device) -> Reading:
    said = host.tool((TOOL, "info", "-t", "usages", "-i", device.id.removeprefix("davinci")))
    if said is None:
        return Reading(device, unknown(f"{TOOL} is missing or does not answer", SOURCE))
    found = {name.lower(): value for name, value in LINE.findall(said)}
    busy = as_number(found.get("aicore usage rate") or found.get("npu utilization"))
    used = unknown(f"{TOOL} does not tell it", SOURCE) if busy is None else percent(busy, SOURCE, None)
    capacity, share = as_number(found.get("hbm capacity")), as_number(found.get("hbm usage rate"))
    total = None if capacity is None else whole_mb(capacity * BYTES_PER_MB)
    if total is None:
        return Reading(device, used, DeviceMemory(reason=NOT_REPORTED))
    in_use = None if share is None else int(total * min(100.0, max(0.0, share)) / 100)
    return Reading(device, used, DeviceMemory(in_use, total, SOURCE))


ASCEND = FileFamily("Ascend NPU", _find, _read)
