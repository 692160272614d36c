"""GET /metrics: Prometheus reads it, it tells nothing of anybody, and an operator may close it."""

from __future__ import annotations

import httpx
from prometheus_client.parser import text_string_to_metric_families

from helix_ray.config import Settings
from tests.http.api_server import Api, error_of, serving_api
from tests.http.devices import device
from tests.http.fleet import Fleet


def figures(url: str, **headers: str) -> tuple[str, dict[tuple[str, ...], float]]:
    """Return the text, and its samples by name and label values."""
    answer = httpx.get(f"{url}/metrics", headers=headers, timeout=30)
    assert answer.status_code == 200, answer.text
    families = text_string_to_metric_families(answer.text)
    samples = {(s.name, *s.labels.values()): s.value for family in families for s in family.samples}
    return answer.text, samples


def test_figures_are_told_without_a_token_and_without_an_id(api: Api, admin: httpx.Client) -> None:
    """The number of series stays the same however much is stored."""
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


def test_an_operator_may_close_them() -> None:
    """Then they need a session, and any one will do."""
    with serving_api(Settings(metrics_open=False)) as closed:
        error_of(httpx.get(f"{closed.url}/metrics", timeout=30), 401, "UNAUTHORIZED")
        token = closed.client().headers["Authorization"]
        assert figures(closed.url, Authorization=token)[1]["helix_sessions",] == 1
