"""Loads that the kernel's frequency governors write, like `37@800000000Hz`."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from helix_ray.accelerators.device import Utilization, percent, unknown
from helix_ray.accelerators.files import entries, text
from helix_ray.accelerators.host import Host

LOAD = re.compile(r"(\d+)(?:@\d+Hz)?")


def folders(host: Host, name: str) -> Iterator[Path]:
    """Give the folders of devices whose name matches a regular expression."""
    yield from entries(host.root, "sys/class/devfreq/*", name)


def load(folder: Path) -> Utilization:
    """Return the load over the governor's last interval."""
    source = "devfreq load"
    found = LOAD.fullmatch(text(folder / "load") or "")
    if found is None:
        return unknown("devfreq load cannot be read", source)
    interval_ms = text(folder / "polling_interval") or ""
    return percent(float(found[1]), source, int(interval_ms) / 1000 if interval_ms.isdecimal() else None)
