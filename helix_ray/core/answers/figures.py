"""Answers questions about counts and metrics."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from helix_ray.core import questions as q
from helix_ray.core.access import Principal
from helix_ray.core.answers.acceleration import devices_of
from helix_ray.core.answers.picture import Answerers, Picture
from helix_ray.core.fact_figures import FactFigures
from helix_ray.core.histogram import LONG_BOUNDS_S, Histogram
from helix_ray.core.specs import LEVELS, DeviceSample
from helix_ray.core.views.figures import AcceleratorFiguresView, CountsView, MetricsView


def _counts(picture: Picture, question: q.Counts, by: Principal) -> CountsView:
    return {
        "seq": picture.state.seq,
        "tasks": {status.value: count for status, count in picture.state.by_status.items()},
        "archived": picture.state.archived,
        "archived_through": picture.state.archived_through,
        "exported_through": picture.state.exported_through,
        "workers": len(picture.state.workers),
        "sessions": len(picture.state.sessions),
        "webhooks": len(picture.state.webhooks),
        "devices": len(picture.state.devices),
    }


def _metrics(picture: Picture, question: q.Metrics, by: Principal) -> MetricsView:
    """The master's process adds what is not in the state (actors/master_figures.py)."""
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
        "journal_hindered": False,
        "journal_damaged": bool(picture.state.journal_damage),
        "audit_differs": bool(picture.state.audit_difference),
        "devices": _devices(picture),
        "webhooks": None,
        "traces": None,
        "queue": _queue(picture),
        "requests": [],
        "streams": 0,
        "commits": Histogram().view(),
        "placement": Histogram(LONG_BOUNDS_S).view(),
        "inferences": Histogram().view(),
        "leases_lost": dict(FactFigures().leases_lost),
    }


def _queue(picture: Picture) -> dict[str, int]:
    """Return how many tasks are pending by priority."""
    queues = picture.state.ready.values()
    return {name: sum(len(queue.levels[level]) for queue in queues) for name, level in LEVELS.items()}


def _devices(picture: Picture) -> list[AcceleratorFiguresView]:
    """Return the devices of all nodes by kind and vendor; those of external workers are what they say."""
    groups: dict[tuple[str, str], list[DeviceSample]] = {}
    for worker in picture.state.workers.values():
        for device in devices_of(picture, worker) if worker.kind == "node" and not worker.lost else ():
            groups.setdefault((device["kind"], device["vendor"]), []).append(device)
    return [_figures(kind, vendor, found) for (kind, vendor), found in sorted(groups.items())]


def _figures(kind: str, vendor: str, found: Sequence[DeviceSample]) -> AcceleratorFiguresView:
    known = [device["utilization"] for device in found if "utilization" in device]
    return {
        "kind": kind,
        "vendor": vendor,
        "count": len(found),
        "utilization": sum(known) / len(known) if known else None,
        "memory_used_mb": sum(device.get("memory_used_mb", 0) for device in found),
        "memory_total_mb": sum(device.get("memory_total_mb", 0) for device in found),
    }


FIGURE_ANSWERS: Answerers = {
    q.Counts: _counts,
    q.Metrics: _metrics,
}
