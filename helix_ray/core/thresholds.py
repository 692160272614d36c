"""Thresholds of a node's figures: when one is crossed, decided from values and times alone.

A figure is over a limit once it has been at or above it for a time without a pause, and below it once it has
been under the limit by a margin for as long. In between nothing changes, so a value that swings around a
limit crosses it once. What is not known is neither above nor below: the time starts over.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Final, Literal, get_args

from helix_ray.core.host_sample import HostSample, percent_full

Figure = Literal["cpu", "memory", "swap", "disk", "temperature"]
Level = Literal["ok", "warning", "critical"]
FIGURES: Final = get_args(Figure)
# A figure is below a limit again when it is under this share of it.
BELOW_SHARE: Final = 0.95
_FORM = re.compile(r"([a-z]+):([0-9.]+):([0-9.]+):([0-9.]+)")


@dataclass(frozen=True, slots=True)
class Threshold:
    """The limits of a figure: percent, or degrees Celsius; `for_s` is how long it must be over them."""

    figure: Figure
    warning: float
    critical: float
    for_s: float


def parse(text: str) -> tuple[Threshold, ...]:
    """Read `memory:90:97:60,disk:85:95:60`: figure, warning, critical, seconds. Raises ValueError with a
    sentence."""
    found: dict[str, Threshold] = {}
    for word in filter(None, (part.strip() for part in text.split(","))):
        match = _FORM.fullmatch(word)
        if match is None or match[1] not in FIGURES:
            form = "FIGURE:WARNING:CRITICAL:SECONDS"
            raise ValueError(f"{word} must be {form} with one of the figures {', '.join(FIGURES)}")
        try:
            warning, critical, for_s = (float(match[place]) for place in (2, 3, 4))
        except ValueError:
            raise ValueError(f"{word} has a number that cannot be read") from None
        if not 0 < warning <= critical:
            raise ValueError(f"{word}: the warning must be above 0 and at most the critical value")
        if match[1] in found:
            raise ValueError(f"{match[1]} is given twice")
        found[match[1]] = Threshold(match[1], warning, critical, for_s)  # type: ignore[arg-type]
    return tuple(found.values())


def value_of(figure: Figure, sample: HostSample) -> float | None:
    """Return what a sample says of a figure; of the disks the fullest one."""
    if figure == "cpu":
        return sample.get("cpu_percent")
    if figure == "temperature":
        return sample.get("temperature")
    if figure == "memory":
        return _share(sample.get("memory_used_mb"), sample.get("memory_total_mb"))
    if figure == "swap":
        return _share(sample.get("swap_used_mb"), sample.get("swap_total_mb"))
    shares = (percent_full(disk["used_mb"], disk["available_mb"]) for disk in sample.get("disks", []))
    return max((share for share in shares if share is not None), default=None)


def _share(used: float | None, total: float | None) -> float | None:
    return round(100.0 * used / total, 1) if used is not None and total else None


@dataclass(frozen=True, slots=True)
class LimitWatch:
    """Whether a figure is over one limit, and since when a sample says the opposite."""

    over: bool = False
    since: float | None = None

    def saw(self, value: float | None, limit: float, for_s: float, now: float) -> LimitWatch:
        """Return what is known after a sample; `now` is monotonic, in seconds."""
        opposite = value is not None and (value < limit * BELOW_SHARE if self.over else value >= limit)
        if not opposite:
            return self if self.since is None else replace(self, since=None)
        since = now if self.since is None else self.since
        return LimitWatch(not self.over) if now - since >= for_s else replace(self, since=since)


@dataclass(frozen=True, slots=True)
class FigureStanding:
    """Where a figure stands."""

    warning: LimitWatch = LimitWatch()
    critical: LimitWatch = LimitWatch()

    @property
    def level(self) -> Level:
        """Return the highest limit that the figure is over."""
        return "critical" if self.critical.over else "warning" if self.warning.over else "ok"

    def saw(self, value: float | None, threshold: Threshold, now: float) -> FigureStanding:
        """Return where the figure stands after a sample."""
        return FigureStanding(
            self.warning.saw(value, threshold.warning, threshold.for_s, now),
            self.critical.saw(value, threshold.critical, threshold.for_s, now),
        )


def level_of(text: str) -> Level:
    """Return a recorded level."""
    return "critical" if text == "critical" else "warning" if text == "warning" else "ok"


def standing_at(level: Level) -> FigureStanding:
    """Return the standing of a figure of which only the level is known: after a restart."""
    return FigureStanding(LimitWatch(level != "ok"), LimitWatch(level == "critical"))


def limit_of(level: Level, before: Level, threshold: Threshold) -> float:
    """Return the limit that was crossed on the way from one level to another."""
    reached = "critical" in (level, before) and "ok" not in (level, before)
    return threshold.critical if reached or level == "critical" else threshold.warning


def named(thresholds: Iterable[Threshold]) -> frozenset[str]:
    """Return the figures that have a threshold."""
    return frozenset(threshold.figure for threshold in thresholds)
