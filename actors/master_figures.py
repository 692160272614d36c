"""The figures of /metrics that are not in the state: those of processes, commits and the journal's file."""

from __future__ import annotations

from actors.commits import Commits
from actors.keeping import JournalFigures
from helix_ray.core.turns import TurnReports
from helix_ray.core.views.figures import MetricsView


def with_processes(
    view: MetricsView,
    reports: TurnReports,
    commits: Commits,
    journal: JournalFigures,
    now: float,
) -> MetricsView:
    """Return the state's figures with those of processes that report to the master; `now` is monotonic."""
    return {
        **view,
        **reports.replicas(now),
        "loops": reports.by_kind(now),
        "followers": reports.lags(now),
        "webhooks": reports.webhooks(now),
        "traces": reports.traces(now),
        "log_bytes": journal.log_bytes,
        "journal_hindered": journal.is_hindered,
        "commits": commits.took.view(),
        "placement": commits.figures.placement.view(),
        "inferences": commits.figures.inferences.view(),
        "leases_lost": dict(commits.figures.leases_lost),
    }
