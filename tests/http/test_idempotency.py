"""Idempotency-Key on every POST: the same key and body get the first answer again,
another body a conflict."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from tests.http.api_server import TASK, Api, error_of

KEY = "Idempotency-Key"


def test_a_task_is_made_once(api: Api, admin: httpx.Client) -> None:
    first = admin.post("/tasks", json=TASK, headers={KEY: "once"})
    admin.put(f"/tasks/{first.json()['id']}", json={"status": "completed"})
    again = admin.post("/tasks", json=TASK, headers={KEY: "once"})
    assert (again.status_code, again.json()) == (201, first.json())
    assert again.headers["idempotency-replayed"] == "true"
    assert "idempotency-replayed" not in first.headers


def test_the_order_of_fields_makes_no_other_body(admin: httpx.Client) -> None:
    first = admin.post("/tasks", json=TASK, headers={KEY: "order"}).json()
    turned = dict(reversed(TASK.items()))
    assert admin.post("/tasks", json=turned, headers={KEY: "order"}).json() == first


def test_another_body_or_path_is_a_conflict(api: Api, admin: httpx.Client) -> None:
    task_id = admin.post("/tasks", json=TASK, headers={KEY: "mine"}).json()["id"]
    other = admin.post("/tasks", json={**TASK, "title": "other"}, headers={KEY: "mine"})
    assert error_of(other, 409, "CONFLICT")["details"]["header"] == KEY
    error_of(admin.post(f"/tasks/{task_id}/cancel", headers={KEY: "mine"}), 409, "CONFLICT")


def test_keys_of_two_users_never_meet(api: Api, admin: httpx.Client) -> None:
    developer = api.add("keyed", "developer")
    mine = admin.post("/tasks", json=TASK, headers={KEY: "shared"}).json()["id"]
    theirs = developer.post("/tasks", json={**TASK, "title": "theirs"}, headers={KEY: "shared"})
    assert theirs.status_code == 201
    assert theirs.json()["id"] != mine


def test_a_refusal_is_not_kept_but_a_refused_task_is(api: Api, admin: httpx.Client) -> None:
    """What the wire refuses may be sent again, corrected; what the control plane decided stays decided."""
    wrong = admin.post("/tasks", json={**TASK, "priority": "urgent"}, headers={KEY: "fix"})
    error_of(wrong, 400, "VALIDATION_ERROR")
    assert admin.post("/tasks", json=TASK, headers={KEY: "fix"}).status_code == 201
    for _ in range(2):
        refused = admin.post("/tasks", json={**TASK, "type": "cooking"}, headers={KEY: "cook"})
        error_of(refused, 400, "VALIDATION_ERROR")


def test_every_other_post_takes_a_key(api: Api, admin: httpx.Client) -> None:
    """Cancel, retry, register, heartbeat, drain and users: the second answer is the first."""
    task_id = api.submit(admin)
    worker_id = admin.post("/workers/register", json={"hostname": "h", "capabilities": []}).json()[
        "worker_id"
    ]
    calls: list[tuple[str, Any]] = [
        (f"/tasks/{task_id}/cancel", None),
        (f"/tasks/{task_id}/retry", None),
        ("/workers/register", {"hostname": "again", "capabilities": []}),
        ("/workers/heartbeat", {"worker_id": worker_id}),
        (f"/workers/{worker_id}/drain", {"draining": True}),
        ("/users", {"username": "keyed-user", "password": "long enough", "roles": ["viewer"]}),
    ]
    firsts = []
    for i, (path, body) in enumerate(calls):
        answer = admin.post(path, json=body, headers={KEY: f"key {i}"})
        assert answer.status_code in (200, 201), answer.text
        firsts.append(answer)
    for i, (path, body) in enumerate(calls):
        answer = admin.post(path, json=body, headers={KEY: f"key {i}"})
        assert (answer.status_code, answer.json()) == (firsts[i].status_code, firsts[i].json()), path
        assert answer.headers["idempotency-replayed"] == "true"


def test_a_password_is_no_part_of_what_a_key_stands_for(api: Api, admin: httpx.Client) -> None:
    """The journal keeps a quick hash of keyed requests; a password must not be guessable from it."""
    user = {"username": "hashed", "roles": ["viewer"]}
    first = admin.post("/users", json={**user, "password": "long enough"}, headers={KEY: "u"})
    again = admin.post("/users", json={**user, "password": "another one"}, headers={KEY: "u"})
    assert again.json() == first.json()
    assert api.anonymous().post(
        "/auth/login", json={"username": "hashed", "password": "another one"}
    ).status_code == 401  # fmt: skip


@pytest.mark.parametrize("key", ["", "x" * 256, "tab\tbed", "caf\xe9"])
@pytest.mark.parametrize("path", ["/tasks", "/auth/login", "/auth/refresh"])
def test_a_key_that_is_none_is_refused(admin: httpx.Client, path: str, key: str) -> None:
    answer = admin.post(path, json=TASK, headers=[(KEY.encode(), key.encode("latin-1"))])
    assert error_of(answer, 400, "VALIDATION_ERROR")["details"]["field"] == KEY


def test_the_longest_key_is_taken(admin: httpx.Client) -> None:
    assert admin.post("/tasks", json=TASK, headers={KEY: "~" * 255}).status_code == 201


def test_every_change_says_where_the_journal_is(api: Api, admin: httpx.Client) -> None:
    task_id = api.submit(admin)
    answers = [
        admin.put(f"/tasks/{task_id}", json={"progress": 5}),
        admin.post(f"/tasks/{task_id}/cancel"),
        admin.post(f"/tasks/{task_id}/retry"),
        admin.delete(f"/tasks/{task_id}"),
    ]
    seqs = [int(answer.headers["x-helix-seq"]) for answer in answers]
    assert seqs == sorted(seqs)
    assert seqs[-1] == api.plane.engine.state.seq
