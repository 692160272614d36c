"""GET /metrics: Prometheus reads it, it tells nothing of anybody, and an operator may close it."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import httpx
from prometheus_client.parser import text_string_to_metric_families

from helix_ray.config import Settings
from helix_ray.core.orders import NoteComparison, NoteJournalCheck
from tests.http.api_server import Api, error_of, serving_api
from tests.http.devices import device
from tests.http.fleet import Fleet

OPERATIONS = (Path(__file__).parents[2] / "docs" / "operations.md").read_text()
# A metric of the table, with its labels.
LINE = re.compile(r"`(helix_\w+)(?:\{([\w,]+)\})?`(?=[^\n]*\|)")


def figures(url: str, **headers: str) -> tuple[str, dict[tuple[str, ...], float]]:
    """Return the text, and its samples by name and label values."""
    answer = httpx.get(f"{url}/metrics", headers=headers, timeout=30)
    assert answer.status_code == 200, answer.text
    families = text_string_to_metric_families(answer.text)
    samples = {(s.name, *s.labels.values()): s.value for family in families for s in family.samples}
    return answer.text, samples


def test_figures_are_told_without_a_token_and_without_an_id(api: Api, admin: httpx.Client) -> None:
    """The number of series stays the same however much is stored."""
    api.submit(admin)
    figures(api.url)
    _, before = figures(api.url)
    task_id = api.submit(admin, title="a secret title")
    text, after = figures(api.url)
    assert after["helix_tasks", "pending"] == before["helix_tasks", "pending"] + 1
    assert after["helix_journal_seq",] > before["helix_journal_seq",]
    assert set(before) == set(after)
    assert task_id not in text
    assert "secret" not in text
    assert "admin" not in text


def test_the_lag_of_followers_and_the_size_of_the_log_are_told(api: Api) -> None:
    """A family for each, also before a follower has said anything."""
    text, samples = figures(api.url)
    assert samples["helix_journal_log_bytes",] >= 0
    assert "# TYPE helix_follower_lag_facts gauge" in text


def test_an_audit_that_differs_is_told(fleet: Fleet) -> None:
    """Until a comparison finds that it agrees with the journal."""

    def told(difference: str) -> float:
        fleet.api.plane.give(NoteComparison(9, 4, difference))
        return figures(fleet.api.url)[1]["helix_audit_differs",]

    assert (told("a record is missing"), told("")) == (1.0, 0.0)


def test_a_damaged_journal_is_told(fleet: Fleet) -> None:
    """Until a check finds that it is intact."""

    def told(damage: str) -> float:
        fleet.api.plane.give(NoteJournalCheck(9, damage))
        return figures(fleet.api.url)[1]["helix_journal_damaged",]

    assert (told("fact 4 was changed"), told("")) == (1.0, 0.0)


def test_accelerators_are_told_by_kind_and_vendor(fleet: Fleet) -> None:
    """How many, how busy those are of which it is known, and their memory; nothing of a lost node."""
    first, second = fleet.node("a", gpu=2.0), fleet.node("b", gpu=1.0)
    memory = {"memory_used_mb": 100, "memory_total_mb": 1000}
    fleet.beat(first, devices=[device("gpu", 0, utilization=90.0, **memory), device("gpu", 1, **memory)])
    fleet.beat(second, devices=[device("gpu", 0, utilization=None, reason="mig", **memory)])
    _, samples = figures(fleet.api.url)
    vendor = device("gpu", 0)["vendor"]
    assert samples["helix_devices", "gpu", vendor] == 3
    assert samples["helix_device_utilization_percent", "gpu", vendor] == 70.0
    assert samples["helix_device_memory_used_bytes", "gpu", vendor] == 300 << 20
    assert samples["helix_device_memory_total_bytes", "gpu", vendor] == 3000 << 20
    fleet.lose(first)
    _, samples = figures(fleet.api.url)
    assert samples["helix_devices", "gpu", vendor] == 1
    assert ("helix_device_utilization_percent", "gpu", vendor) not in samples


def test_beyond_the_loopback_they_need_a_session() -> None:
    """Any session will do, and an operator may open them. A proxy on this machine asks for others, also one
    that nobody has named."""
    behind_proxy, from_afar = Settings(trusted_proxies="127.0.0.1"), {"X-Forwarded-For": "203.0.113.9"}
    with serving_api(behind_proxy) as closed:
        error_of(httpx.get(f"{closed.url}/metrics", headers=from_afar, timeout=30), 401, "UNAUTHORIZED")
        token = closed.client().headers["Authorization"]
        assert figures(closed.url, Authorization=token, **from_afar)[1]["helix_sessions",] == 1
        figures(closed.url)
    with serving_api(Settings()) as unnamed:
        for header in ("X-Forwarded-For", "Forwarded", "X-Real-IP", "Via"):
            error_of(
                httpx.get(f"{unnamed.url}/metrics", headers={header: "x"}, timeout=30), 401, "UNAUTHORIZED"
            )
    with serving_api(replace(behind_proxy, metrics_open=True)) as opened:
        figures(opened.url, **from_afar)


def test_families_and_labels_are_those_of_the_documentation(api: Api, admin: httpx.Client) -> None:
    """Each has a row in docs/operations.md; no label is an id."""
    api.submit(admin)
    text, _ = figures(api.url)
    told = {}
    for family in text_string_to_metric_families(text):
        labels = {name for sample in family.samples for name in sample.labels} - {"le"}
        told[family.name + ("_total" if family.type == "counter" else "")] = labels
    documented = dict(LINE.findall(OPERATIONS))
    assert set(told) <= set(documented)
    # Without a node, a notifier and a collector these have no samples, and some no families.
    absent = ("helix_device", "helix_webhook", "helix_loop", "helix_trace")
    quiet = {name for name in documented if name.startswith(absent)}
    assert set(documented) - quiet <= set(told)
    for name, labels in told.items():
        assert labels in (set(), set(documented[name].split(","))), name


def test_requests_are_counted_by_route_and_never_by_path(api: Api, admin: httpx.Client) -> None:
    """What no route has is one series, however many paths are asked for; so are other methods."""
    task_id = api.submit(admin)
    for _ in range(3):
        admin.get(f"/tasks/{task_id}")
    admin.get("/tasks", params={"limit": 1})
    for number in range(50):
        admin.get(f"/nothing/{number}")
    httpx.request("TRACE", f"{api.url}/api/v1/tasks", timeout=30)
    text, samples = figures(api.url)
    assert samples["helix_requests_total", "GET", "/api/v1/tasks/{task_id}", "2xx"] >= 3
    assert samples["helix_requests_total", "GET", "/api/v1/tasks", "2xx"] >= 1
    assert samples["helix_requests_total", "GET", "other", "4xx"] >= 50
    assert samples["helix_request_seconds_count", "GET", "/api/v1/tasks/{task_id}"] >= 3
    assert "nothing" not in text
    assert ("helix_requests_total", "other", "other", "4xx") in samples
    assert len(text) < 100_000


def test_the_queue_is_told_by_priority(fleet: Fleet) -> None:
    fleet.submit(priority="critical")
    fleet.submit(priority="low")
    fleet.submit(priority="low")
    _, samples = figures(fleet.api.url)
    told = {name: samples["helix_queue_tasks", name] for name in ("low", "normal", "high", "critical")}
    assert told == {"low": 2, "normal": 0, "high": 0, "critical": 1}
