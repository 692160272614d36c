"""Devices that only all-smi knows (Rebellions, Furiosa, Tenstorrent, ...), from its metrics.

https://github.com/lablup/all-smi runs beside the node; the operator names its address.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from helix_ray.accelerators.device import GPU, NPU, Device, DeviceMemory, Reading, percent, unknown
from helix_ray.accelerators.files import whole_mb
from helix_ray.accelerators.host import Host

FETCH_S_MAX = 2.0
METRICS_BYTES_MAX = 1 << 20
LINE = re.compile(r"^all_smi_gpu_(utilization|memory_used_bytes|memory_total_bytes)\{(.*)\} ([0-9.eE+-]+)$")
LABEL = re.compile(r'(\w+)="((?:[^"\\]|\\.)*)"')
# Makers by words of a device's name, and whether we read their devices ourselves.
MAKERS = (
    ("NVIDIA", GPU, True), ("AMD", GPU, True), ("Radeon", GPU, True), ("Intel", GPU, True),
    ("Apple", GPU, False), ("Gaudi", NPU, False), ("Rebellions", NPU, False), ("RBLN", NPU, False),
    ("Furiosa", NPU, False), ("Tenstorrent", NPU, False), ("TPU", NPU, False),
)  # fmt: skip

Fetch = Callable[[str], str]


def fetch(url: str) -> str:
    """Return the metrics at an address. Raises OSError."""
    import httpx  # slow to import, and few nodes have an address

    content = b""
    try:
        with httpx.stream("GET", url, timeout=FETCH_S_MAX, trust_env=False) as answer:
            answer.raise_for_status()
            for part in answer.iter_bytes():
                content += part
                if len(content) > METRICS_BYTES_MAX:
                    break
    except httpx.HTTPError as error:
        raise OSError(f"{url}: {error}") from error
    return content.decode(errors="replace")


class AllSmi:
    """Reads the metrics at `url`."""

    name = "all-smi"

    def __init__(self, url: str, fetches: Fetch = fetch) -> None:
        self._url, self._fetch = url, fetches
        self._known: list[Device] = []

    def find(self, host: Host) -> list[Device]:
        """Return the devices that there are."""
        return [reading.device for reading in self.readings(host)]

    def readings(self, host: Host) -> list[Reading]:
        """Return what can be read of each; while all-smi does not answer, those that it named before."""
        try:
            metrics = self._fetch(self._url)
        except (OSError, ValueError):
            return [Reading(device, unknown("all-smi does not answer", "all-smi")) for device in self._known]
        found = parse(metrics)
        self._known = [reading.device for reading in found]
        return found


def parse(metrics: str) -> list[Reading]:
    """Return the devices in the metrics that no reader of ours knows."""
    values: dict[tuple[str, str], dict[str, float]] = {}
    for line in metrics.splitlines():
        found = LINE.match(line)
        if found is None:
            continue
        labels = dict(LABEL.findall(found[2]))
        name = labels.get("gpu") or labels.get("gpu_name") or ""
        number = labels.get("uuid") or labels.get("index") or labels.get("gpu_index") or ""
        try:
            values.setdefault((name, number), {})[found[1]] = float(found[3])
        except ValueError:
            continue
    return [_reading(name, number, of) for (name, number), of in sorted(values.items()) if not _ours(name)]


def _maker(name: str) -> tuple[str, str, bool]:
    return next((maker for maker in MAKERS if maker[0].lower() in name.lower()), ("", NPU, False))


def _ours(name: str) -> bool:
    """Gaudi is Intel's, but not read by us."""
    return not name or (_maker(name)[2] and "gaudi" not in name.lower())


def _reading(name: str, number: str, of: dict[str, float]) -> Reading:
    vendor, kind, _ = _maker(name)
    word = re.sub(r"[^a-z0-9]+", "-", (vendor or name.split()[0]).lower()).strip("-")
    device = Device(number or name, kind, vendor or name.split()[0], f"{word}-{kind}", "", "all-smi", name)
    busy = of.get("utilization")
    used = unknown("all-smi does not tell it", "all-smi") if busy is None else percent(busy, "all-smi", None)
    memory = DeviceMemory(
        whole_mb(of.get("memory_used_bytes")), whole_mb(of.get("memory_total_bytes")), "all-smi"
    )
    return Reading(device, used, memory)
