"""How long the turns of an event loop take: counts in buckets, and the longest of the
last minute with what ran.

Pure: actors/turn_meter.py measures the turns. What ran is described by kinds, such as names of orders, never
by ids: the figures are for /metrics, which anybody may read.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter, deque
from collections.abc import Iterable
from typing import NamedTuple

from helix_ray.core.views.figures import LoopReport, LoopsView, WebhookFigures

# Upper bounds in seconds; one more bucket counts longer turns.
BUCKETS_S = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0)
SLICE_S = 10.0
SLICES = 6
KINDS_SHOWN_MAX = 3
IDLE = "other"
# A process that has not reported for this long is gone.
REPORT_S_MAX = 30.0


class Turn(NamedTuple):
    """A turn of a loop: how long it took, and the kinds of what ran in it, the most frequent first."""

    seconds: float
    ran: str


class Turns:
    """The turns of one loop. Times are monotonic seconds."""

    def __init__(self) -> None:
        self.counts = [0] * (len(BUCKETS_S) + 1)
        self.seconds = 0.0
        self._ran: Counter[str] = Counter()
        # (slice of time, longest turn in it), oldest first.
        self._slices: deque[tuple[int, Turn]] = deque(maxlen=SLICES)

    def ran(self, kind: str, count: int = 1) -> None:
        """Record that `count` of a kind were processed in the current turn."""
        self._ran[kind] += count

    def over(self, seconds: float, now: float) -> None:
        """Record the end of a turn."""
        self.counts[bisect_left(BUCKETS_S, seconds)] += 1
        self.seconds += seconds
        number = int(now / SLICE_S)
        if not self._slices or self._slices[-1][0] != number:
            self._slices.append((number, Turn(seconds, self._kinds())))
        elif seconds > self._slices[-1][1].seconds:
            self._slices[-1] = (number, Turn(seconds, self._kinds()))
        self._ran.clear()

    def longest(self, now: float) -> Turn:
        """Return the longest turn of the last minute."""
        oldest = int(now / SLICE_S) - SLICES
        recent = [turn for number, turn in self._slices if number > oldest]
        return max(recent, default=Turn(0.0, IDLE))

    def report(self, now: float) -> LoopReport:
        """Return the figures as JSON values."""
        longest = self.longest(now)
        return {
            "longest_s": longest.seconds,
            "ran": longest.ran,
            "counts": list(self.counts),
            "seconds": self.seconds,
        }

    def _kinds(self) -> str:
        return "+".join(kind for kind, _ in self._ran.most_common(KINDS_SHOWN_MAX)) or IDLE


class TurnReports:
    """The latest report of every process, and the sums by kind of process."""

    def __init__(self) -> None:
        self._reports: dict[tuple[str, str], tuple[float, LoopReport]] = {}

    def take(self, kind: str, process: str, report: LoopReport, now: float) -> None:
        """Store a process's report in place of its previous one."""
        self._reports[kind, process] = (now, report)

    def by_kind(self, now: float) -> dict[str, LoopsView]:
        """Return the sums for every kind of process, and the number of processes; silent ones are dropped."""
        self._reports = {
            key: report for key, report in self._reports.items() if now - report[0] <= REPORT_S_MAX
        }
        kinds = sorted({kind for kind, _ in self._reports})
        return {
            kind: together(report for (each, _), (_, report) in self._reports.items() if each == kind)
            for kind in kinds
        }

    def lags(self, now: float) -> dict[str, int]:
        """Return how many facts each follower is behind; of several of a name, the one that is furthest."""
        found: dict[str, int] = {}
        for at, report in self._reports.values():
            if now - at <= REPORT_S_MAX:
                for name, behind in report.get("lags", {}).items():
                    found[name] = max(behind, found.get(name, 0))
        return dict(sorted(found.items()))

    def webhooks(self, now: float) -> WebhookFigures | None:
        """Return the newest report about webhooks; None where no notifier reports."""
        reports = [
            (at, report["webhooks"])
            for at, report in self._reports.values()
            if now - at <= REPORT_S_MAX and "webhooks" in report
        ]
        return max(reports, key=lambda report: report[0])[1] if reports else None


def together(reports: Iterable[LoopReport]) -> LoopsView:
    """Return the longest turn of several loops, and the sums of their figures."""
    each = list(reports)
    longest = max(each, key=lambda report: float(report["longest_s"]))
    return {
        "longest_s": longest["longest_s"],
        "ran": longest["ran"],
        "counts": [sum(counts) for counts in zip(*(report["counts"] for report in each), strict=True)],
        "seconds": sum(report["seconds"] for report in each),
        "processes": len(each),
    }
