"""Quotas over HTTP, and the responses to requests that exceed a quota or find the queue full."""

from __future__ import annotations

from typing import Any

import pytest

from helix_ray.config import Settings
from helix_ray.wire.quotas import QuotaSetOut, QuotasOut
from tests.http.api_server import error_of
from tests.http.fleet import COMMAND, Fleet, serving_fleet
from tests.http.shapes import shaped


def test_a_quota_bounds_what_a_project_uses_at_once(fleet: Fleet) -> None:
    """Further tasks wait with the verdict `quota`, and start when something ends; usage is counted."""
    fleet.node("a", 8)
    quota = {"limits": {"cpu": 2, "tasks": 5, "queued": 4}, "weight": 2}
    answer = fleet.admin.put("/harmony/quotas/p1", json=quota)
    assert answer.status_code == 200
    shaped(QuotaSetOut, answer.json())
    ids = [fleet.submit(project_id="p1") for _ in range(3)]
    assert [fleet.get(task_id)["status"] for task_id in ids] == ["running", "running", "pending"]
    said = fleet.explain(ids[2])
    assert (said["verdict"], said["summary"]) == ("quota", "the quota of project p1 is used up")
    assert said["change"] == [{"change": "raise_quota", "project_id": "p1", "resource": "cpu", "by": 1.0}]
    content = fleet.admin.get("/harmony/quotas").json()
    shaped(QuotasOut, content)
    (line,) = content["quotas"]
    assert (line["used"], line["queued"]) == ({"cpu": 2.0, "tasks": 2.0}, 3)
    # A quarter of the cluster, at twice the weight.
    assert line["share"] == pytest.approx(0.125)
    fleet.end(ids[0])
    assert fleet.get(ids[2])["status"] == "running"


def test_more_than_a_quota_ever_allows_is_refused(fleet: Fleet) -> None:
    """A demand above a limit is 400; a full queue of a project is 429, and does not affect other projects."""
    fleet.node("a", 8)
    fleet.admin.put("/harmony/quotas/p1", json={"limits": {"cpu": 2, "queued": 1}})
    task = {"title": "t", "type": "building", "run": COMMAND, "project_id": "p1"}
    large = fleet.admin.post("/tasks", json={**task, "resources": {"cpu": 3}})
    details = error_of(large, 400, "VALIDATION_ERROR")["details"]
    assert (details["field"], details["limit"]) == ("resources.cpu", 2.0)
    fleet.submit(project_id="p1")
    refused = fleet.admin.post("/tasks", json=task)
    assert error_of(refused, 429, "RATE_LIMIT_EXCEEDED")["message"] == "The project's queue is full"
    assert int(refused.headers["retry-after"]) >= 1
    fleet.submit(project_id="p2")


@pytest.mark.parametrize(
    "quota",
    [
        {"limits": {"cpu": -1}},
        {"limits": {"cpu": 1e300}},
        {"limits": {"cpu": "2"}},
        {"limits": {f"r{i}": 1 for i in range(65)}},
        {"weight": 0},
        {"weight": -1},
        {"weight": 1e9},
        {"limit": {}},
    ],
)
def test_malformed_quotas(fleet: Fleet, quota: dict[str, Any]) -> None:
    """400, and nothing is set."""
    error_of(fleet.admin.put("/harmony/quotas/p", json=quota), 400, "VALIDATION_ERROR")
    assert fleet.admin.get("/harmony/quotas").json() == {"quotas": []}


def test_a_developer_sees_quotas_of_their_own_projects(fleet: Fleet) -> None:
    """Others' stay unseen; viewers see all."""
    fleet.admin.put("/harmony/quotas/secret", json={"limits": {"cpu": 1}})
    developer, viewer = fleet.api.add("dave", "developer"), fleet.api.add("vera", "viewer")
    fleet.submit(developer, project_id="mine", run=None)
    projects = [line["project_id"] for line in developer.get("/harmony/quotas").json()["quotas"]]
    assert "mine" in projects
    assert "secret" not in projects
    assert "secret" in [line["project_id"] for line in viewer.get("/harmony/quotas").json()["quotas"]]


def test_a_full_queue_says_when_to_come_back() -> None:
    """429; while nothing has ended, Retry-After is half a minute, then it follows from the rate of
    endings."""
    task = {"title": "t", "type": "building", "run": COMMAND}
    with serving_fleet(Settings(queue_tasks_max=4)) as fleet:
        fleet.node("a", 4)
        ids = [fleet.submit() for _ in range(4)]
        refused = fleet.admin.post("/tasks", json=task)
        assert error_of(refused, 429, "RATE_LIMIT_EXCEEDED")["message"] == "The queue is full"
        assert refused.headers["retry-after"] == "30"
        for task_id in ids[:3]:
            fleet.end(task_id)
        for _ in range(3):
            fleet.submit()
        # Three a minute: the one that is too many has room in 20 s, three in a minute.
        assert fleet.admin.post("/tasks", json=task).headers["retry-after"] == "20"
        batch = fleet.admin.post("/tasks/batch", json={"tasks": [task] * 3})
        error_of(batch, 429, "RATE_LIMIT_EXCEEDED")
        assert batch.headers["retry-after"] == "60"
        sharded = fleet.admin.post("/tasks", json={**task, "shards": 2})
        assert sharded.headers["retry-after"] == "60"
