"""Answers questions about counts and metrics."""

from __future__ import annotations

from collections import Counter

from helix_ray.core import questions as q
from helix_ray.core.access import Principal
from helix_ray.core.answers.picture import Answerers, Picture
from helix_ray.core.views.figures import CountsView, MetricsView


def _counts(picture: Picture, question: q.Counts, by: Principal) -> CountsView:
    return {
        "seq": picture.state.seq,
        "tasks": {status.value: count for status, count in picture.state.by_status.items()},
        "archived": picture.state.archived,
        "archived_through": picture.state.archived_through,
        "workers": len(picture.state.workers),
        "sessions": len(picture.state.sessions),
    }


def _metrics(picture: Picture, question: q.Metrics, by: Principal) -> MetricsView:
    """The master's process adds `loops`, `followers` and `log_bytes`."""
    workers = Counter(
        (worker.kind, "lost" if worker.lost else "draining" if worker.draining else "live")
        for worker in picture.state.workers.values()
    )
    return {
        "seq": picture.state.seq,
        "tasks": {status.value: count for status, count in picture.state.by_status.items()},
        "archived": sum(picture.state.archived.values()),
        "workers": [(kind, standing, count) for (kind, standing), count in sorted(workers.items())],
        "sessions": len(picture.state.sessions),
        "loops": {},
        "followers": {},
        "log_bytes": 0,
    }


FIGURE_ANSWERS: Answerers = {
    q.Counts: _counts,
    q.Metrics: _metrics,
}
