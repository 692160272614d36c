"""Erasures over HTTP and by the `helix` program: who may ask for one, what is refused
and why, and how far it is."""

from __future__ import annotations

import io
from typing import Any

import httpx
import pytest

from helix_ray.core.access import SYSTEM
from helix_ray.core.orders import CompleteErasure, Order
from helix_ray.wire.erasures import ErasureOut, ErasuresOut
from tests.http.api_server import Api, error_of, serving_api
from tests.http.running_node import Helix
from tests.http.shapes import shaped

PATH = "/aurora/erasures"


def complete(api: Api, erasure_id: str, kept: int = 0, copies: tuple[str, ...] = ()) -> None:
    """Let the journal be done, as the master does."""
    api.plane.carry_out(Order(CompleteErasure(erasure_id, kept, copies), SYSTEM, "req-e", "seed-e"))


def test_an_erasure_from_its_request_to_its_end() -> None:
    """A finished task is gone for its owner at once; the request is pending until the
    journal has nothing of it left."""
    with serving_api() as api:
        admin, ada = api.client(), api.add("ada", "developer")
        task_id, other = api.submit(ada), api.submit(ada)
        ada.post(f"/tasks/{task_id}/cancel")
        body = {"tasks": [task_id, "task-of-last-year"], "reason": "Request 4711"}
        answer = admin.post(PATH, json=body, headers={"Idempotency-Key": "e-1"})
        assert answer.status_code == 202
        asked = shaped(ErasureOut, answer.json())
        assert (asked["status"], asked["tasks"], asked["users"], asked["completed_at"]) == (
            "pending",
            body["tasks"],
            [],
            None,
        )
        error_of(ada.get(f"/tasks/{task_id}"), 404, "NOT_FOUND")
        assert ada.get(f"/tasks/{other}").status_code == 200
        again = admin.post(PATH, json=body, headers={"Idempotency-Key": "e-1"})
        assert (again.json()["id"], again.headers["Idempotency-Replayed"]) == (asked["id"], "true")
        complete(api, asked["id"], 2, ("journal.sqlite.format1",))
        done = shaped(ErasureOut, admin.get(f"{PATH}/{asked['id']}").json())
        assert (done["status"], done["facts_kept"], done["copies"]) == (
            "completed",
            2,
            ["journal.sqlite.format1"],
        )
        assert shaped(ErasuresOut, admin.get(PATH).json())["erasures"] == [done]
        error_of(admin.get(f"{PATH}/erasure-unknown"), 404, "NOT_FOUND")


def test_only_administrators_ask_and_look() -> None:
    """Nobody else, whatever they own."""
    with serving_api() as api:
        for role in ("developer", "viewer", "worker"):
            client = api.add(f"some-{role}", role)
            for answer in (
                client.post(PATH, json={"tasks": ["task-1"], "reason": "r"}),
                client.get(PATH),
                client.get(f"{PATH}/erasure-1"),
            ):
                error_of(answer, 403, "FORBIDDEN")


def refusal(client: httpx.Client, status: int, code: str, **body: Any) -> dict[str, Any]:
    error: dict[str, Any] = error_of(client.post(PATH, json={"reason": "r", **body}), status, code)
    return error


def test_what_is_in_use_is_refused_with_what_to_do() -> None:
    """Unfinished tasks, users who exist, and workers that are registered: nothing is erased in part."""
    with serving_api() as api:
        admin, ada = api.client(), api.add("ada", "developer", "worker")
        task_id = api.submit(ada, shards=2, run={"kind": "command", "argv": ["true"]})
        ended = api.submit(ada)
        ada.post(f"/tasks/{ended}/cancel")
        ada_id = admin.get("/users").json()["users"][-1]["id"]
        found = refusal(admin, 409, "CONFLICT", tasks=[ended, task_id])
        assert (found["details"]["task_id"], found["details"]["status"]) == (task_id, "pending")
        assert "cancel it first" in found["message"]
        assert ada.get(f"/tasks/{ended}").status_code == 200
        for name in (ada_id, "ada"):
            found = refusal(admin, 409, "CONFLICT", users=[name])
            assert (found["details"]["user_id"], found["details"]["username"]) == (ada_id, "ada")
            assert f"remove the user first, then erase {ada_id}" in found["message"]
        body = {"worker_id": "worker_ada", "hostname": "h", "capabilities": ["testing"], "resources": {}}
        assert ada.post("/workers/register", json=body).status_code in (200, 201)
        assert admin.delete("/users/ada").status_code == 204
        found = refusal(admin, 409, "CONFLICT", users=[ada_id])
        assert found["details"]["worker_id"] == "worker_ada"
        assert admin.delete("/workers/worker_ada").status_code == 204
        assert refusal(admin, 409, "CONFLICT", users=[ada_id])["details"]["owner"] == ada_id
        admin.post(f"/tasks/{task_id}/cancel")
        assert admin.post(PATH, json={"users": [ada_id], "reason": "r"}).status_code == 202
        for gone in (task_id, ended, f"{task_id}-s0"):
            error_of(admin.get(f"/tasks/{gone}"), 404, "NOT_FOUND")


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "tasks"),
        ({"tasks": [], "users": []}, "tasks"),
        ({"tasks": ["t"] * 1001}, "tasks"),
        ({"tasks": ["t"] * 600, "users": ["user-1"] * 600}, "tasks"),
        ({"tasks": ["task-1-s3"]}, "tasks"),
        ({"tasks": ["report-7"]}, "tasks"),
        ({"tasks": ["task-\0"]}, "tasks"),
        ({"users": ["nobody"]}, "users"),
        ({"users": ["user-\x7f"]}, "users"),
        ({"tasks": ["t"], "reason": " "}, "reason"),
        ({"tasks": ["t"], "reason": "two\nlines"}, "reason"),
        ({"tasks": ["t"], "reason": "x" * 501}, "reason"),
        ({"tasks": ["t"], "all": True}, "all"),
    ],
)
def test_what_is_no_request_is_refused(admin: httpx.Client, body: dict[str, Any], field: str) -> None:
    """The field is named; of a shard its parent is."""
    found = refusal(admin, 400, "VALIDATION_ERROR", **body)
    assert found["details"]["field"] == field
    if body.get("tasks") == ["task-1-s3"]:
        assert found["details"]["parent"] == "task-1"


def test_the_program_asks_and_shows(signed_in: Helix, monkeypatch: pytest.MonkeyPatch) -> None:
    """request, list and show, with what a script reads; without --yes it asks first."""
    made = signed_in("erase", "request", "--task", "task-1", "--reason", "asked for", "--yes", "--json")
    assert (made.code, made.json["status"], made.json["tasks"]) == (0, "pending", ["task-1"])
    assert made.json["id"] in signed_in("erase", "list").out
    assert signed_in("erase", "list", "--json").json["erasures"][0] == made.json
    assert signed_in("erase", "show", made.json["id"], "--json").json == made.json
    monkeypatch.setattr("sys.stdin", io.StringIO("n\n"))
    unsure = signed_in("erase", "request", "--task", "task-2", "--reason", "asked for")
    assert unsure.code != 0
    assert len(signed_in("erase", "list", "--json").json["erasures"]) == 1
