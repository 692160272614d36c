"""The history of a host as points: the figures of a point, how points are added up, and which are wanted.

A point is of a span of time that begins at a multiple of its step. It has a number for each of FIELDS; NaN is
what is not known. Points that were not measured do not exist: nothing is put in their place.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from math import ceil, inf, isnan, nan
from typing import NamedTuple, TypeAlias

from helix_ray.core.errors import ErrorCode, Rejected
from helix_ray.core.host_sample import DiskSample, HostSample
from helix_ray.core.node_questions import SystemHistory
from helix_ray.core.views.monitoring import SeriesView

Point: TypeAlias = tuple[float, ...]


class Level(NamedTuple):
    """A resolution: the seconds of a point, and how far back points are kept."""

    step_s: int
    keep_s: int

    @property
    def places(self) -> int:
        """Return how many points are kept: more than are asked for, whose oldest is not overwritten yet."""
        return self.keep_s // self.step_s + 60


LEVELS = (Level(1, 3600), Level(10, 86_400), Level(60, 30 * 86_400))
FINEST, *COARSER = LEVELS
# Decimal places of each figure in answers; None: whole numbers.
FIELDS: dict[str, int | None] = {
    "cpu": 1,
    "cpu_max": 1,
    "memory_used": None,
    "memory_total": None,
    "swap_used": None,
    "disk_used": None,
    "disk_total": None,
    "rx_bytes_per_s": 1,
    "tx_bytes_per_s": 1,
    "load": 2,
    "temperature": 1,
}
_MOST = list(FIELDS).index("cpu_max")
# Points of an answer, those of all its hosts together.
POINTS_MAX = 50_000
# A question may take so long: who asks for the last hour gets its finest points.
ON_THE_WAY_S = 30.0
# What is younger may not be written yet, and would look like a gap.
WRITTEN_AFTER_S = 2.0
HOSTS_MAX = 50


def point_of(sample: HostSample) -> Point:
    """Return what a sample says as a point."""
    disks = sample.get("disks", [])
    load = sample.get("load", [])
    known = (
        sample.get("cpu_percent"),
        sample.get("cpu_percent"),
        sample.get("memory_used_mb"),
        sample.get("memory_total_mb"),
        sample.get("swap_used_mb"),
        _sum(disks, "used_mb"),
        _sum(disks, "total_mb"),
        sample.get("rx_bytes_per_s"),
        sample.get("tx_bytes_per_s"),
        load[0] if load else None,
        sample.get("temperature"),
    )
    return tuple(nan if value is None else float(value) for value in known)


def _sum(disks: Sequence[DiskSample], name: str) -> float | None:
    return float(sum(disk[name] for disk in disks)) if disks else None  # type: ignore[literal-required]


def together(points: Sequence[Point]) -> Point:
    """Return one point of several: the mean of what is known of each figure, and the maximum of `cpu_max`."""
    return tuple(
        _most(values) if place == _MOST else _mean(values)
        for place, values in enumerate(zip(*points, strict=True))
    )


def _mean(values: Iterable[float]) -> float:
    known = [value for value in values if not isnan(value)]
    return sum(known) / len(known) if known else nan


def _most(values: Iterable[float]) -> float:
    return max((value for value in values if not isnan(value)), default=nan)


def slot_of(wall: float, last: tuple[int, float] | None) -> int:
    """Return the second of a sample; `last` is the second of the one before, and when that came.

    A host is measured once a second. A sample that comes a little early or late, just across the edge of its
    second, gets the second after the last one's, so that it leaves no gap.
    """
    slot = int(wall)
    if last is None or not 0.5 <= wall - last[1] < 1.5:
        return slot
    return last[0] + 1 if abs(last[0] + 1 - slot) <= 1 else slot


@dataclass(frozen=True, slots=True)
class Span:
    """The points that are asked for: the first begins at `start`, each has `step_s`; read from `level`."""

    start: int
    count: int
    step_s: int
    level: Level


def span_of(question: SystemHistory, hosts: int, now: float) -> Span | Rejected:
    """Return which points of `hosts` hosts a question asks for, or why it cannot be answered.

    The resolution is the finest that reaches back to `since`; without `step`, the finest that an answer has
    room for.
    """
    until = min(now - WRITTEN_AFTER_S, inf if question.until is None else question.until)
    if question.since >= until:
        return _refused("since", f"since must be before until, and {WRITTEN_AFTER_S:g} s before now")
    oldest = question.since + ON_THE_WAY_S
    level = next((level for level in LEVELS if oldest >= now - level.keep_s), LEVELS[-1])
    room_s = (until - question.since) * max(1, hosts) / POINTS_MAX
    step_s = level.step_s * ceil(max(question.step or 1, 0 if question.step else room_s) / level.step_s)
    start = int(question.since // step_s) * step_s
    count = ceil((until - start) / step_s)
    if hosts > HOSTS_MAX:
        return _refused(
            "node", f"There are {hosts} hosts: name the node of one (at most {HOSTS_MAX} together)"
        )
    if count * hosts > POINTS_MAX + hosts:
        return _refused("step", f"These are {count * hosts} points, more than {POINTS_MAX}: make step larger")
    return Span(start, count, step_s, level)


def _refused(field: str, message: str) -> Rejected:
    return Rejected(ErrorCode.VALIDATION_ERROR, message, {"field": field})


def series_of(points: Sequence[Point | None]) -> SeriesView:
    """Return points as an answer has them: a list for each figure, in which None is what is not known."""
    columns: dict[str, list[float | None]] = {}
    for place, (name, digits) in enumerate(FIELDS.items()):
        columns[name] = [
            None if point is None or isnan(point[place]) else round(point[place], digits) for point in points
        ]
    return columns  # type: ignore[return-value]
