"""How many there are of everything, and what is not there, as questions are answered with it."""

from __future__ import annotations

from typing import NotRequired, TypedDict

from helix_ray.core.histogram import HistogramView


class WebhookFigures(TypedDict):
    """Messages of webhooks: how many wait and are held, and since the start of the notifier how many were
    delivered, how many tries failed by class, and how many messages were dropped by reason."""

    waiting: int
    held: int
    delivered: int
    failures: dict[str, int]
    dropped: dict[str, int]


class TraceFigures(TypedDict):
    """Spans that a collector got, those dropped because too many waited, and those that it did not take."""

    sent: int
    dropped: int
    failed: int


class RequestsView(HistogramView):
    """Requests to one route: how long until the response began, and how many by class of status (`2xx`)."""

    method: str
    route: str
    statuses: dict[str, int]


class ReplicaReport(TypedDict):
    """What an API replica has answered since its start, and the event streams that are open."""

    requests: list[RequestsView]
    streams: int


class LoopReport(TypedDict):
    """The turns of an event loop: the longest of the last minute and what ran in it, how many by their
    length, and the sum in seconds."""

    longest_s: float
    ran: str
    counts: list[int]
    seconds: float
    # How many facts each follower in the process is behind, by its name.
    lags: NotRequired[dict[str, int]]
    webhooks: NotRequired[WebhookFigures]
    replica: NotRequired[ReplicaReport]
    traces: NotRequired[TraceFigures]


class LoopsView(LoopReport):
    """The turns of the loops of one kind of process."""

    processes: int


class CountsView(TypedDict):
    """How many tasks stand where, and how far the journal is."""

    seq: int
    tasks: dict[str, int]
    archived: dict[str, int]
    archived_through: int
    exported_through: int
    workers: int
    sessions: int
    webhooks: int
    devices: int


class AcceleratorFiguresView(TypedDict):
    """The accelerators of one kind and vendor: how many, the mean percent of those of which it is known, and
    MiB of memory."""

    kind: str
    vendor: str
    count: int
    utilization: float | None
    memory_used_mb: int
    memory_total_mb: int


class MetricsView(TypedDict):
    """Figures for /metrics; `workers` are (kind, standing, count), `loops` by kind of process,
    `followers` how many facts each is behind, `devices` by kind and vendor; `webhooks` is None where no
    notifier runs, `traces` where no collector is configured. `queue` has pending tasks by priority.
    `requests` and `streams` are of all replicas; `commits`, `placement`, `inferences` and `leases_lost` (by
    kind) are since the master's start."""

    seq: int
    tasks: dict[str, int]
    archived: int
    workers: list[tuple[str, str, int]]
    sessions: int
    loops: dict[str, LoopsView]
    followers: dict[str, int]
    log_bytes: int
    journal_hindered: bool
    journal_damaged: bool
    audit_differs: bool
    devices: list[AcceleratorFiguresView]
    webhooks: WebhookFigures | None
    traces: TraceFigures | None
    queue: dict[str, int]
    requests: list[RequestsView]
    streams: int
    commits: HistogramView
    placement: HistogramView
    inferences: HistogramView
    leases_lost: dict[str, int]


class ReadinessView(TypedDict):
    """What requests need and is not there: the reason by part."""

    missing: dict[str, str]
