"""The processors of a machine: how busy they are, from /proc/stat.

A line has the time of one processor by what it did, in ticks. Time that a hypervisor gave to others (steal)
counts as busy: it was wanted. Guests' time is contained in user time.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from helix_ray.accelerators.files import text
from helix_ray.monitoring.rates import Rates, Window

SOURCE = "/proc/stat"
# Positions in a line: user nice system idle iowait irq softirq steal.
_IDLE = (3, 4)
_COUNTED = 8
CORES_SHOWN_MAX = 256


class CpuUse(NamedTuple):
    """Percent busy of all processors and of each, over `seconds`."""

    percent: float
    per_core: list[float]
    seconds: float


def ticks(root: Path) -> dict[str, float]:
    """Return the busy and all ticks of `cpu` (all processors) and of `cpu0`, `cpu1`, ..."""
    found: dict[str, float] = {}
    for line in (text(root / "proc/stat") or "").splitlines():
        name, *rest = line.split()
        if not name.startswith("cpu"):
            break
        if len(rest) < _COUNTED or not all(word.isdigit() for word in rest):
            continue
        spent = [int(word) for word in rest[:_COUNTED]]
        total = sum(spent)
        found[f"{name}.all"] = total
        found[f"{name}.busy"] = total - sum(spent[index] for index in _IDLE)
    return found


def count_cores(spent: Mapping[str, float]) -> int | None:
    """Return how many processors are online, of their ticks; None where these could not be read."""
    return len([name for name in spent if name.endswith(".busy") and name != "cpu.busy"]) or None


def use(spent: Mapping[str, float], rates: Rates) -> CpuUse | None:
    """Return how busy the processors were in the window that ends with these ticks; None before the second
    sample."""
    window = rates.measure(spent)
    percent = None if window is None else _percent(window, "cpu")
    if window is None or percent is None:
        return None
    names = [name.removesuffix(".all") for name in window.gained if name.endswith(".all")]
    cores = [_percent(window, name) for name in names if name != "cpu"]
    shown = [core for core in cores if core is not None][:CORES_SHOWN_MAX]
    return CpuUse(percent, shown, window.seconds)


def _percent(window: Window, name: str) -> float | None:
    total, busy = window.gained.get(f"{name}.all"), window.gained.get(f"{name}.busy")
    if not total or busy is None:
        return None
    return round(min(100.0, 100.0 * busy / total), 1)
