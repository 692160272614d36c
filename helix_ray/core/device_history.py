"""How busy each device of a node was: one point for every POINT_S, an hour of them, in memory only.

A point has the mean and the maximum of its samples; one whose utilization was never known has neither.
"""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from dataclasses import dataclass, field
from math import isnan, nan

from helix_ray.core.specs import DevicePoint, DeviceSample

POINT_S = 10.0
POINTS_MAX = 360
# Devices of a node that are remembered: more than any host has.
DEVICES_MAX = 64


@dataclass(slots=True)
class Series:
    """The points of one device; missing figures are NaN. `count` and `total` are of the newest point."""

    at: array[float] = field(default_factory=lambda: array("d"))
    mean: array[float] = field(default_factory=lambda: array("f"))
    most: array[float] = field(default_factory=lambda: array("f"))
    memory_mb: array[float] = field(default_factory=lambda: array("f"))
    count: int = 0
    total: float = 0.0

    def note(self, utilization: float | None, memory_mb: float | None, wall: float) -> None:
        """Add a sample to the point of its time; one that is older than the newest point is left out."""
        start = wall - wall % POINT_S
        if not self.at or start > self.at[-1]:
            self._begin(start)
        elif start < self.at[-1]:
            return
        if utilization is not None:
            self.count += 1
            self.total += utilization
            self.mean[-1] = self.total / self.count
            self.most[-1] = utilization if isnan(self.most[-1]) else max(self.most[-1], utilization)
        if memory_mb is not None:
            self.memory_mb[-1] = memory_mb

    def _begin(self, start: float) -> None:
        self.count, self.total = 0, 0.0
        self.at.append(start)
        for figures in (self.mean, self.most, self.memory_mb):
            figures.append(nan)
        if len(self.at) > POINTS_MAX:
            for figures in (self.at, self.mean, self.most, self.memory_mb):
                del figures[0]

    def points(self, count: int) -> list[DevicePoint]:
        """Return the newest points, oldest first."""
        first = max(0, len(self.at) - count)
        return [
            {
                "at": self.at[index],
                "utilization": _known(self.mean[index]),
                "utilization_max": _known(self.most[index]),
                "memory_used_mb": _known(self.memory_mb[index]),
            }
            for index in range(first, len(self.at))
        ]

    def mean_since(self, since: float) -> float | None:
        """Return the mean utilization of the points since a time; None where none is known."""
        found = [mean for at, mean in zip(self.at, self.mean, strict=True) if at >= since and not isnan(mean)]
        return round(sum(found) / len(found), 1) if found else None


class DeviceHistory:
    """The series of the devices of all nodes, by node and by device id."""

    def __init__(self) -> None:
        self._series: dict[str, dict[str, Series]] = {}

    def note(self, worker_id: str, devices: Sequence[DeviceSample], wall: float) -> None:
        """Add what a heartbeat says of devices."""
        if not devices:
            return
        of = self._series.setdefault(worker_id, {})
        for device in devices[:DEVICES_MAX]:
            series = of.get(device["id"])
            if series is None:
                if len(of) >= DEVICES_MAX:
                    del of[min(of, key=lambda known: of[known].at[-1])]
                series = of[device["id"]] = Series()
            series.note(device.get("utilization"), device.get("memory_used_mb"), wall)

    def forget(self, worker_id: str) -> None:
        """Remove a worker."""
        self._series.pop(worker_id, None)

    def of(self, worker_id: str, device_id: str) -> Series:
        """Return the series of a device; an empty one where there is none."""
        return self._series.get(worker_id, {}).get(device_id) or Series()


def _known(value: float) -> float | None:
    return None if isnan(value) else round(value, 1)
