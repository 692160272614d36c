"""How long the turns of an event loop take: counts in buckets, and the longest of the
last minute with what ran.

Pure: actors/turn_meter.py measures the turns. What ran is described by kinds, such as names of orders, never
by ids: the figures are for /metrics, which anybody may read.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter, OrderedDict, deque
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from helix_ray.core.histogram import BOUNDS_S as BUCKETS_S
from helix_ray.core.views.figures import (
    LoopReport,
    LoopsView,
    ReplicaReport,
    RequestsView,
    TraceFigures,
    WebhookFigures,
)

SLICE_S = 10.0
SLICES = 6
KINDS_SHOWN_MAX = 3
IDLE = "other"
# A process that has not reported for this long is gone.
REPORT_S_MAX = 30.0
# Processes that are silent and may speak again, say after a pause of the machine.
SILENT_MAX = 20


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
    """The latest report of every process, and the sums by kind of process.

    What processes that are gone have counted stays in the sums: a counter never goes back.
    """

    def __init__(self) -> None:
        self._reports: dict[tuple[str, str], tuple[float, LoopReport]] = {}
        # The last reports of processes that are silent, which may speak again.
        self._silent: OrderedDict[tuple[str, str], LoopReport] = OrderedDict()
        # The sums of those that have been silent for longest.
        self._gone: dict[str, LoopReport] = {}

    def take(self, kind: str, process: str, report: LoopReport, now: float) -> None:
        """Store a process's report in place of its previous one."""
        self._silent.pop((kind, process), None)
        self._reports[kind, process] = (now, report)

    def by_kind(self, now: float) -> dict[str, LoopsView]:
        """Return the sums for every kind of process, and the number of processes that are not silent."""
        self._drop_silent(now)
        kinds = sorted({kind for kind, _ in self._reports})
        return {
            kind: together(
                [report for (each, _), (_, report) in self._reports.items() if each == kind],
                self._counted(kind),
            )
            for kind in kinds
        }

    def replicas(self, now: float) -> ReplicaReport:
        """Return the requests that all API replicas have answered, and the streams that are open."""
        self._drop_silent(now)
        living = [report["replica"] for _, report in self._reports.values() if "replica" in report]
        counted = [report["replica"] for report in self._ended() if "replica" in report]
        requests = [row for report in (*living, *counted) for row in report["requests"]]
        return {"requests": added(requests), "streams": sum(report["streams"] for report in living)}

    def traces(self, now: float) -> TraceFigures | None:
        """Return what all processes have exported; None where none does."""
        self._drop_silent(now)
        every = (*(report for _, report in self._reports.values()), *self._ended())
        return exported(every)

    def _ended(self) -> tuple[LoopReport, ...]:
        """Return the last reports of processes that are silent or gone."""
        return (*self._silent.values(), *self._gone.values())

    def _drop_silent(self, now: float) -> None:
        for key, (at, report) in [*self._reports.items()]:
            if now - at > REPORT_S_MAX:
                del self._reports[key]
                self._silent[key] = report
        while len(self._silent) > SILENT_MAX:
            (kind, _), report = self._silent.popitem(last=False)
            self._gone[kind] = merged([self._gone[kind], report]) if kind in self._gone else report

    def _counted(self, kind: str) -> list[LoopReport]:
        silent = [report for (each, _), report in self._silent.items() if each == kind]
        return [*silent, *([self._gone[kind]] if kind in self._gone else [])]

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


def together(living: Sequence[LoopReport], gone: Sequence[LoopReport] = ()) -> LoopsView:
    """Return the longest turn of the loops of living processes, and the sums of the figures of all."""
    longest = max(living, key=lambda report: report["longest_s"])
    sums = merged([*living, *gone])
    return {
        "longest_s": longest["longest_s"],
        "ran": longest["ran"],
        "counts": sums["counts"],
        "seconds": sums["seconds"],
        "processes": len(living),
    }


def merged(reports: Sequence[LoopReport]) -> LoopReport:
    """Return what several processes have counted, as one report."""
    replicas = [report["replica"] for report in reports if "replica" in report]
    found: LoopReport = {
        "longest_s": 0.0,
        "ran": IDLE,
        "counts": _sums(report["counts"] for report in reports),
        "seconds": sum(report["seconds"] for report in reports),
    }
    if replicas:
        found["replica"] = {
            "requests": added(row for report in replicas for row in report["requests"]), "streams": 0,
        }  # fmt: skip
    traces = exported(reports)
    if traces is not None:
        found["traces"] = traces
    return found


def exported(reports: Sequence[LoopReport]) -> TraceFigures | None:
    """Return the spans that several processes have exported; None where none does."""
    figures = [report["traces"] for report in reports if "traces" in report]
    if not figures:
        return None
    return {
        "sent": sum(each["sent"] for each in figures),
        "dropped": sum(each["dropped"] for each in figures),
        "failed": sum(each["failed"] for each in figures),
    }


def added(rows: Iterable[RequestsView]) -> list[RequestsView]:
    """Return the requests of several replicas, added up by method and route."""
    found: dict[tuple[str, str], RequestsView] = {}
    for row in rows:
        key = row["method"], row["route"]
        known = found.get(key)
        if known is None:
            found[key] = {**row, "statuses": dict(row["statuses"])}
            continue
        known["counts"] = _sums((known["counts"], row["counts"]))
        known["seconds"] += row["seconds"]
        for status, count in row["statuses"].items():
            known["statuses"][status] = known["statuses"].get(status, 0) + count
    return [found[key] for key in sorted(found)]


def _sums(rows: Iterable[Sequence[int]]) -> list[int]:
    return [sum(counts) for counts in zip(*rows, strict=True)]
