"""/metrics does not grow: neither with tasks, nor with processes that come and go."""

from __future__ import annotations

import pytest
from fastapi.routing import APIRoute
from prometheus_client import CollectorRegistry, generate_latest

from actors.commits import Commits
from actors.keeping import JournalFigures
from actors.master_figures import with_processes
from helix_ray.core.access import SYSTEM
from helix_ray.core.histogram import Histogram
from helix_ray.core.orders import Order, Receipt, SubmitTasks
from helix_ray.core.questions import Metrics
from helix_ray.core.turns import REPORT_S_MAX, TurnReports, Turns
from helix_ray.core.views.figures import LoopReport, RequestsView
from helix_ray.testing import MemoryControlPlane
from helix_ray.wire.ids import new_seed
from serve_app.app import ROUTERS
from serve_app.metric_families import Families

BYTES_MAX = 1_000_000
BATCH_TASKS = 5_000
STATUSES = ("1xx", "2xx", "3xx", "4xx", "5xx", "none")


def requests_of_a_replica() -> list[RequestsView]:
    """Every route that there is, with every class of status: a replica cannot have more."""
    times = Histogram()
    times.note(0.01)
    return [
        {
            "method": method,
            "route": prefix + route.path,
            "statuses": dict.fromkeys(STATUSES, 1),
            **times.view(),
        }
        for prefix, router in ROUTERS
        for route in router.routes
        if isinstance(route, APIRoute)
        for method in route.methods or ()
    ]


class Cluster:
    """The master's figures, over the real state and the real sums of what processes report."""

    def __init__(self) -> None:
        self.plane = MemoryControlPlane()
        self.reports = TurnReports()
        self.commits = Commits(self.plane.engine, (), lambda kind: None)
        self.now = 0.0

    def replicas(self, count: int) -> None:
        """Let replicas report one after the other; each is gone before the next one."""
        rows = requests_of_a_replica()
        for _ in range(count):
            self.now += REPORT_S_MAX + 1
            report: LoopReport = {
                **Turns().report(self.now),
                "replica": {"requests": rows, "streams": 1},
                "traces": {"sent": 1, "dropped": 0, "failed": 0},
                "lags": {"history": 1},
            }
            self.reports.take("api", f"incarnation-{self.now}", report, self.now)
            self.reports.by_kind(self.now)

    def submit(self, count: int) -> None:
        """Submit tasks in batches, each with a title and a type of its own choice."""
        for start in range(0, count, BATCH_TASKS):
            specs = tuple(
                {"title": f"task {start + i}", "type": "building", "labels": {"n": str(start + i)}}
                for i in range(min(BATCH_TASKS, count - start))
            )
            (answer,) = self.plane.engine.execute([Order(SubmitTasks(specs), SYSTEM, "req-1", new_seed())])
            assert isinstance(answer, Receipt)

    def text(self) -> str:
        """Return /metrics."""
        figures = with_processes(
            self.plane.ask(Metrics()), self.reports, self.commits, JournalFigures(0, False), self.now
        )
        registry = CollectorRegistry(auto_describe=False)
        registry.register(Families(figures))
        return generate_latest(registry).decode()


def series(text: str) -> set[str]:
    return {line.rpartition(" ")[0] for line in text.splitlines() if not line.startswith("#")}


def check(tasks: int, replicas: int) -> None:
    cluster = Cluster()
    cluster.replicas(2)
    cluster.submit(1)
    before = series(cluster.text())
    cluster.submit(tasks)
    cluster.replicas(replicas)
    text = cluster.text()
    assert series(text) == before
    assert len(text) < BYTES_MAX
    print(f"{len(text):,} bytes, {len(before):,} series")
    requests = sum(
        float(line.split()[-1]) for line in text.splitlines() if line.startswith("helix_requests_total")
    )
    # Nothing that a replica counted is lost with it.
    assert requests == (replicas + 2) * len(requests_of_a_replica()) * len(STATUSES)


def test_the_series_stay_the_same() -> None:
    """After 2,000 tasks and 100 replicas, with every route in use."""
    check(tasks=2_000, replicas=100)


@pytest.mark.chaos
def test_the_series_stay_the_same_for_long() -> None:
    """After 100,000 tasks and 1,000 replicas."""
    check(tasks=100_000, replicas=1_000)
