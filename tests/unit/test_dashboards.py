"""The dashboard and the alert rules of deploy/: each can be loaded, and names only metrics that there are."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any, cast

import yaml

from helix_ray.core.questions import Metrics
from helix_ray.core.turns import Turns, together
from helix_ray.core.views.figures import MetricsView
from helix_ray.testing import MemoryControlPlane
from serve_app.metric_families import Families

DEPLOY = Path(__file__).parents[2] / "deploy"
NAME = re.compile(r"\bhelix_\w+")
OUTSIDE_QUOTES = re.compile(r'"[^"]*"')
SUFFIXES = {"counter": ("_total",), "histogram": ("_bucket", "_sum", "_count"), "gauge": ("",)}


def samples() -> dict[str, set[str]]:
    """Return the names of all samples of /metrics, with their labels, of a cluster that has everything."""
    figures = cast("MetricsView", MemoryControlPlane().ask(Metrics()))
    device: Any = {
        "kind": "gpu", "vendor": "NVIDIA", "count": 1, "utilization": 1.0, "memory_used_mb": 1,
        "memory_total_mb": 1,
    }  # fmt: skip
    webhooks: Any = {
        "waiting": 0, "held": 0, "delivered": 0, "failures": {"dns": 1}, "dropped": {"expired": 1},
    }  # fmt: skip
    row: Any = {"method": "GET", "route": "/", "statuses": {"2xx": 1}, "counts": [0] * 11, "seconds": 0.0}
    told: MetricsView = {
        **figures, "devices": [device], "webhooks": webhooks,
        "traces": {"sent": 1, "dropped": 0, "failed": 0}, "requests": [row], "followers": {"history": 0},
        "workers": [("node", "live", 1)], "loops": {"master": together([Turns().report(0.0)])},
    }  # fmt: skip
    found: dict[str, set[str]] = {}
    for family in Families(told).collect():
        for suffix in SUFFIXES[family.type]:
            found[family.name + suffix] = {name for sample in family.samples for name in sample.labels}
    return found


def check(expression: str, known: dict[str, set[str]]) -> set[str]:
    """Check the names and selectors of an expression; return its metrics."""
    for name, labels in re.findall(r"(helix_\w+)\{([^}]*)\}", expression):
        asked = set(re.findall(r"(\w+)\s*(?:=|!=|=~|!~)", OUTSIDE_QUOTES.sub('""', labels)))
        assert asked <= known[name], expression
    names = set(NAME.findall(OUTSIDE_QUOTES.sub('""', expression)))
    assert names <= set(known), expression
    assert all(expression.count(first) == expression.count(last) for first, last in ("()", "[]", "{}"))
    return names


def test_the_dashboard_shows_metrics_that_there_are() -> None:
    """And labels that they have; panels do not overlap."""
    known = samples()
    board = json.loads((DEPLOY / "grafana-dashboard.json").read_bytes())
    places, ids, shown = set(), set(), set()
    for panel in board["panels"]:
        places.add((panel["gridPos"]["x"], panel["gridPos"]["y"]))
        ids.add(panel["id"])
        for target in panel["targets"]:
            names = check(target["expr"], known)
            assert names, target
            labels = set().union(*(known[name] for name in names))
            assert set(re.findall(r"\{\{(\w+)\}\}", target["legendFormat"])) <= labels
            shown |= names
    assert len(places) == len(ids) == len(board["panels"])
    assert {"helix_tasks", "helix_request_seconds_bucket", "helix_device_utilization_percent"} <= shown


def test_alert_rules_watch_metrics_that_there_are() -> None:
    """Each says how severe it is and what to do."""
    known = samples()
    [group] = yaml.safe_load((DEPLOY / "prometheus-rules.yaml").read_text())["groups"]
    names = [rule["alert"] for rule in group["rules"]]
    assert len(set(names)) == len(names)
    for rule in group["rules"]:
        assert check(rule["expr"], known) or rule["alert"] == "HelixDown"
        assert rule["labels"]["severity"] in ("warning", "critical")
        assert set(rule["annotations"]) == {"summary", "description"}
        assert set(rule) <= {"alert", "expr", "for", "labels", "annotations"}
