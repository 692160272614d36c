"""Turns counters into shares of a window: two samples, at least a second apart."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from helix_ray.accelerators.device import NEEDS_TWO, Utilization, percent, unknown

SAMPLE_S_MIN = 1.0
WENT_BACK = "the counter went back or was reset"

# Percent, from the counts before, the counts now and the seconds between them; None where they went back.
Share = Callable[[Mapping[str, float], Mapping[str, float], float], float | None]


@dataclass(frozen=True, slots=True)
class _Sample:
    at: float
    counts: Mapping[str, float]
    result: Utilization


class Counters:
    """The last sample of each counter, by key; `clock` is monotonic and in seconds."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._last: dict[str, _Sample] = {}

    def measure(self, key: str, counts: Mapping[str, float], share: Share, source: str) -> Utilization:
        """Return the utilization since the last sample; within its first second the last result again."""
        now = self._clock()
        last = self._last.get(key)
        if last is None:
            result = unknown(NEEDS_TWO, source)
        elif now - last.at < SAMPLE_S_MIN:
            return last.result
        else:
            value = share(last.counts, counts, now - last.at)
            result = unknown(WENT_BACK, source) if value is None else percent(value, source, now - last.at)
        self._last[key] = _Sample(now, counts, result)
        return result

    def forget(self, key: str) -> None:
        """Forget a counter that cannot be read any more."""
        self._last.pop(key, None)


def busy_time(units_per_s: float) -> Share:
    """Return the share of a counter `busy` of time in units."""

    def share(before: Mapping[str, float], now: Mapping[str, float], seconds: float) -> float | None:
        spent = now["busy"] - before["busy"]
        return None if spent < 0 else 100.0 * spent / (units_per_s * seconds)

    return share
