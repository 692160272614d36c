"""The kernel's class accel, which drivers of several makers share: entries are told by driver, not number."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from helix_ray.accelerators.files import driver_of, entries, identity, vendor_of
from helix_ray.accelerators.host import Host


@dataclass(frozen=True, slots=True)
class Entry:
    """An entry of the class and its device."""

    path: Path
    device: Path
    driver: str
    vendor: str | None
    id: str


def entries_of(host: Host, *drivers: str) -> Iterator[Entry]:
    """Give the entries of these drivers."""
    for path in entries(host.root, "sys/class/accel/*", "accel[0-9]+"):
        device = path / "device"
        driver = driver_of(device)
        if driver in drivers:
            yield Entry(path, device, driver, vendor_of(device), identity(device))
