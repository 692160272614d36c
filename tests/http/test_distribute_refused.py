"""What cannot be distributed, or could never run anywhere, is refused with what is wrong."""

from __future__ import annotations

from typing import Any

import pytest

from tests.http.api_server import error_of
from tests.http.fleet import Fleet


def refused(fleet: Fleet, status: int, code: str, **wanted: Any) -> dict[str, Any]:
    return error_of(fleet.admin.post("/harmony/distribute", json=wanted), status, code)


@pytest.mark.parametrize(
    "wanted",
    [
        {"max_nodes": 0},
        {"max_nodes": -1},
        {"max_nodes": 10**30},
        {"max_nodes": 1.5},
        {"dry_run": "yes"},
        {"required_capabilities": "gpu"},
        {"required_capabilities": ["x"] * 65},
        {"distribution_strategy": 1},
        {"unheard_of": 1},
        {"task_id": ""},
        {"task_id": 7},
    ],
)
def test_malformed_requests(fleet: Fleet, wanted: dict[str, Any]) -> None:
    """400, naming the field."""
    refused(fleet, 400, "VALIDATION_ERROR", **{"task_id": "task-1", **wanted})


@pytest.mark.parametrize(
    "fields",
    [
        {"resources": {"cpu": -1}},
        {"resources": {"cpu": 1e308}},
        {"resources": {"memory_mb": 2**62}},
        {"resources": {"custom": {"tpu": -0.5}}},
        {"shards": 0},
        {"shards": -3},
        {"shards": 10**9},
        {"shards": 1.5},
        {"shards": 1001},
        {"shards": {"count": 2, "gang": 1}},
        {"strategy": "best"},
        {"preemptible": "no"},
        {"shards": 2, "run": None},
    ],
)
def test_malformed_tasks(fleet: Fleet, fields: dict[str, Any]) -> None:
    """Negative, huge and unknown values are refused at submit."""
    fleet.node("a")
    task = {"title": "t", "type": "building", "run": {"kind": "command", "argv": ["true"]}, **fields}
    error_of(fleet.admin.post("/tasks", json=task), 400, "VALIDATION_ERROR")


def test_what_no_node_could_ever_hold_is_refused_at_submit(fleet: Fleet) -> None:
    """400 with the most that a node has; what would fit one day is taken in."""
    task = {"title": "t", "type": "building", "run": {"kind": "command", "argv": ["true"]}}
    early = fleet.admin.post("/tasks", json={**task, "resources": {"cpu": 512}})
    assert early.status_code == 201  # before the first node nobody knows what there will be
    fleet.node("a", 4)
    fleet.node("b", 8, gpu=1.0)
    answer = fleet.admin.post("/tasks", json={**task, "resources": {"cpu": 9}})
    details = error_of(answer, 400, "VALIDATION_ERROR")["details"]
    assert (details["field"], details["largest_node"]) == ("resources.cpu", {"cpu": 8.0})
    answer = fleet.admin.post("/tasks", json={**task, "resources": {"gpu": 2}})
    assert error_of(answer, 400, "VALIDATION_ERROR")["details"]["largest_node"] == {"cpu": 8.0, "gpu": 1.0}
    fleet.submit(resources={"cpu": 8})
    path = f"/tasks/{early.json()['id']}"
    answer = fleet.admin.put(path, json={"resources": {"cpu": 9}})
    assert error_of(answer, 400, "VALIDATION_ERROR")["details"]["field"] == "resources.cpu"
    assert fleet.admin.get(path).json()["resources"] == {"cpu": 512}


def test_an_amount_of_devices_that_there_is_on_no_node_is_refused(fleet: Fleet) -> None:
    """Several devices are allocated in whole numbers, one may be shared."""
    fleet.node("a", gpu=4.0)
    task = {"title": "t", "type": "building", "run": {"kind": "command", "argv": ["true"]}}
    answer = fleet.admin.post("/tasks", json={**task, "resources": {"gpu": 1.5}})
    error = error_of(answer, 400, "VALIDATION_ERROR")
    assert (error["details"]["field"], error["details"]["asked"]) == ("resources.gpu", 1.5)
    assert "whole" in error["message"]
    fleet.submit(resources={"gpu": 0.5})


def test_only_pending_tasks_are_distributed(fleet: Fleet) -> None:
    """Done, waiting and single shards are conflicts that say so; what is not there is not found."""
    fleet.node("a")
    running = fleet.submit()
    fleet.end(running)
    assert refused(fleet, 409, "CONFLICT", task_id=running)["details"]["status"] == "completed"
    waiting = fleet.submit(depends_on=[fleet.manual()])
    assert refused(fleet, 409, "CONFLICT", task_id=waiting)["details"]["status"] == "waiting"
    whole = fleet.manual(shards=2)
    assert refused(fleet, 409, "CONFLICT", task_id=f"{whole}-s0")["details"]["id"] == whole
    refused(fleet, 404, "NOT_FOUND", task_id="task-none")
