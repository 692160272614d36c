"""The families of `/metrics`: figures without ids and names, so that the number of series is bounded.

Every figure comes from the master, which adds up what replicas and other processes report: whichever replica
answers says the same, and nothing counts twice.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

from helix_ray.core.histogram import BOUNDS_S, LONG_BOUNDS_S
from helix_ray.core.views.figures import (
    AcceleratorFiguresView,
    LoopsView,
    MetricsView,
    RequestsView,
    WebhookFigures,
)


class Families(Collector):
    """The master's figures as metric families."""

    def __init__(self, figures: MetricsView) -> None:
        self._figures = figures

    def collect(self) -> Iterator[Metric]:
        """Yield every family."""
        figures = self._figures
        yield _gauge("helix_tasks", "Tasks in memory.", ["status"], figures["tasks"].items())
        yield _gauge("helix_workers", "Registered workers.", ["kind", "standing"], figures["workers"])
        yield GaugeMetricFamily("helix_sessions", "Open sessions.", value=figures["sessions"])
        yield GaugeMetricFamily(
            "helix_journal_seq", "Sequence number of the newest fact.", value=figures["seq"]
        )
        yield GaugeMetricFamily(
            "helix_tasks_retired", "Tasks archived to the history.", value=figures["archived"]
        )
        yield GaugeMetricFamily(
            "helix_journal_log_bytes",
            "Size of the journal's write-ahead log.",
            value=figures["log_bytes"],
        )
        yield GaugeMetricFamily(
            "helix_journal_hindered",
            "1 while the journal cannot be written, so that changes are refused.",
            value=int(figures["journal_hindered"]),
        )
        yield GaugeMetricFamily(
            "helix_journal_damaged",
            "1 while the journal is known to be damaged.",
            value=int(figures["journal_damaged"]),
        )
        yield GaugeMetricFamily(
            "helix_audit_differs",
            "1 while records of the audit are known to differ from the journal.",
            value=int(figures["audit_differs"]),
        )
        yield _gauge(
            "helix_follower_lag_facts", "Facts that a follower of the journal is behind.", ["follower"],
            [[name, behind] for name, behind in figures["followers"].items()],
        )  # fmt: skip
        yield GaugeMetricFamily(
            "helix_event_streams", "Open event streams of all API replicas.", value=figures["streams"]
        )
        yield _gauge(
            "helix_queue_tasks", "Pending tasks by priority.", ["priority"], figures["queue"].items()
        )
        yield from _requests(figures["requests"])
        yield from _times(figures)
        yield from _devices(figures["devices"])
        if figures["webhooks"] is not None:
            yield from _webhooks(figures["webhooks"])
        traces = figures["traces"]
        if traces is not None:
            outcomes = {"sent": traces["sent"], "dropped": traces["dropped"], "failed": traces["failed"]}
            text = "Spans for the collector, by what became of them."
            yield _counter("helix_trace_spans", text, "outcome", outcomes)
        yield from _loops(figures["loops"])


def _gauge(name: str, text: str, labels: list[str], rows: Iterable[Sequence[Any]]) -> Metric:
    family = GaugeMetricFamily(name, text, labels=labels)
    for *values, amount in rows:
        family.add_metric(values, amount)
    return family


def _devices(devices: Sequence[AcceleratorFiguresView]) -> Iterator[Metric]:
    """Yield the figures of accelerators; a utilization that is not known is left out."""
    by = [(each["kind"], each["vendor"], each) for each in devices]
    labels = ["kind", "vendor"]
    yield _gauge("helix_devices", "Accelerators.", labels, [[*name, each["count"]] for *name, each in by])
    yield _gauge(
        "helix_device_utilization_percent",
        "Mean utilization of the accelerators of which it is known.",
        labels,
        [[*name, each["utilization"]] for *name, each in by if each["utilization"] is not None],
    )
    for what, text in (("used", "Memory of accelerators in use."), ("total", "Memory of accelerators.")):
        sizes = [[*name, _in_bytes(each, what)] for *name, each in by]
        yield _gauge(f"helix_device_memory_{what}_bytes", text, labels, sizes)


def _in_bytes(devices: AcceleratorFiguresView, what: str) -> int:
    return (devices["memory_used_mb"] if what == "used" else devices["memory_total_mb"]) << 20


def _webhooks(figures: WebhookFigures) -> Iterator[Metric]:
    yield GaugeMetricFamily(
        "helix_webhook_messages_waiting", "Messages to be sent to webhooks.", value=figures["waiting"]
    )
    yield GaugeMetricFamily(
        "helix_webhook_messages_held", "Messages that paused webhooks would get.", value=figures["held"]
    )
    yield CounterMetricFamily(
        "helix_webhook_messages_delivered", "Messages that receivers accepted.", value=figures["delivered"]
    )
    yield _counter(
        "helix_webhook_tries_failed",
        "Tries that failed, by class of failure.",
        "failure",
        figures["failures"],
    )
    yield _counter(
        "helix_webhook_messages_dropped",
        "Messages that were not sent, by reason.",
        "reason",
        figures["dropped"],
    )


def _counter(name: str, text: str, label: str, counts: Mapping[str, int]) -> Metric:
    family = CounterMetricFamily(name, text, labels=[label])
    for value, count in counts.items():
        family.add_metric([value], count)
    return family


def _loops(loops: dict[str, LoopsView]) -> Iterator[Metric]:
    yield _gauge(
        "helix_processes", "Processes whose event loops are measured.", ["process"],
        [[kind, loop["processes"]] for kind, loop in loops.items()],
    )  # fmt: skip
    yield _gauge(
        "helix_loop_turn_longest_seconds",
        "Longest turn of an event loop in the last minute, and the kinds of what ran in it.",
        ["process", "ran"],
        [[kind, loop["ran"], loop["longest_s"]] for kind, loop in loops.items()],
    )
    turns = HistogramMetricFamily("helix_loop_turn_seconds", "Turns of event loops.", labels=["process"])
    for kind, loop in loops.items():
        turns.add_metric([kind], _buckets(loop["counts"]), loop["seconds"])
    yield turns


def _requests(rows: Sequence[RequestsView]) -> Iterator[Metric]:
    """Yield requests by route, and by class of status."""
    times = HistogramMetricFamily(
        "helix_request_seconds", "Time until responses began, by route.", labels=["method", "route"]
    )
    answered = CounterMetricFamily(
        "helix_requests", "Requests by route and class of status.", labels=["method", "route", "status"]
    )
    for row in rows:
        times.add_metric([row["method"], row["route"]], _buckets(row["counts"]), row["seconds"])
        for status, count in sorted(row["statuses"].items()):
            answered.add_metric([row["method"], row["route"], status], count)
    yield times
    yield answered


def _times(figures: MetricsView) -> Iterator[Metric]:
    """Yield how long commits, placing and inferences took, and the leases that were lost."""
    for name, text, view, bounds in (
        ("commit", "Commits of the master that have facts: decided, folded and durable.",
         figures["commits"], BOUNDS_S),
        ("placement", "From submitting a task that waits for no other to its first attempt.",
         figures["placement"], LONG_BOUNDS_S),
        ("inference", "Inferences that completed, where they ran.", figures["inferences"], BOUNDS_S),
    ):  # fmt: skip
        family = HistogramMetricFamily(f"helix_{name}_seconds", text, labels=[])
        family.add_metric([], _buckets(view["counts"], bounds), view["seconds"])
        yield family
    yield _counter("helix_leases_lost", "Workers that fell silent.", "kind", figures["leases_lost"])


def _buckets(counts: Sequence[int], bounds: Sequence[float] = BOUNDS_S) -> list[tuple[str, float]]:
    total = 0
    buckets: list[tuple[str, float]] = []
    for bound, count in zip((*map(str, bounds), "+Inf"), counts, strict=True):
        total += count
        buckets.append((bound, float(total)))
    return buckets
