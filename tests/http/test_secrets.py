"""Secrets that go in over HTTP come out nowhere: not in answers, logs, facts that somebody
sees, or the history's file."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import httpx
import pytest

from helix_ray.core.secrets import MASK, masked
from helix_ray.views.history import History
from tests.http.api_server import TASK, Api

PASSWORD, OTHER, ENV = "canary-password-7391", "canary-other-7391", "canary-env-7391"
STDIN = "canary-stdin-7391"
RUN = {"kind": "command", "argv": ["true"], "env": {"SECRET": ENV}, "stdin": STDIN}


def act(api: Api, admin: httpx.Client) -> tuple[list[httpx.Response], set[str]]:
    """Do what has secrets in it; return the answers that may show none, and all the secrets."""
    user = {"username": "canary", "password": PASSWORD, "roles": ["developer"]}
    shown = [admin.post("/users", json=user)]
    login = api.anonymous().post("/auth/login", json={"username": "canary", "password": PASSWORD})
    tokens = login.json()
    client = api.anonymous()
    client.headers["Authorization"] = f"Bearer {tokens['token']}"
    refresh = {"refresh_token": tokens["refresh_token"]}
    again = api.anonymous().post("/auth/refresh", json=refresh, headers={"Idempotency-Key": "k"}).json()
    made = client.post("/auth/tokens", json={"name": "ci"}).json()
    task = client.post(
        "/tasks", json={**TASK, "type": "testing", "run": RUN}, headers={"Idempotency-Key": "t"}
    )
    task_id = task.json()["id"]
    bound = {**RUN, "env": {"SECRET": ENV, "BAD=": ENV}}
    shown += [
        task,
        client.get(f"/tasks/{task_id}"),
        client.get("/tasks"),
        client.post("/tasks", json={**TASK, "run": bound}),
        client.post("/tasks", json={**TASK, "run": {**RUN, "timeout_s": -1}}),
        client.post("/tasks", json={**TASK, "run": {**RUN, "stdin_base64": STDIN}}),
        client.put(f"/tasks/{task_id}", json={"run": RUN}),
        client.get(f"/harmony/tasks/{task_id}/explain"),
        client.put("/auth/password", json={"current_password": OTHER, "new_password": PASSWORD}),
        client.put("/auth/password", json={"current_password": PASSWORD, "new_password": "7391"}),
        api.anonymous().post("/auth/login", json={"username": "canary", "password": OTHER, "x": 1}),
        api.anonymous().post("/auth/login", json={"username": "canary", "password": OTHER}),
        client.get("/auth/me"),
        client.get("/auth/tokens"),
        admin.get("/users"),
        client.post(f"/tasks/{task_id}/cancel"),
        client.get(f"/tasks/{task_id}/result"),
    ]
    state = api.plane.engine.state
    user_now = state.users[state.users_by_name["canary"]]
    hashes = {*state.sessions_by_refresh, *state.tokens_by_hash, user_now.password_hash}
    given = {tokens["token"], tokens["refresh_token"], again["token"], again["refresh_token"], made["token"]}
    return shown, {PASSWORD, OTHER, ENV, STDIN, *given, *hashes}


def leaks(text: str, secrets: set[str]) -> set[str]:
    return {secret for secret in secrets if secret in text}


def test_no_secret_comes_out(
    api: Api, admin: httpx.Client, caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    """Each is planted at its door; then everything that comes out is searched for all of them."""
    with caplog.at_level(logging.DEBUG):
        shown, secrets = act(api, admin)
    assert len(secrets) >= 12
    for answer in shown:
        assert not leaks(answer.text + str(answer.headers), secrets), answer.request.url
    assert not leaks(
        "\n".join(_whole(record) for record in caplog.records if not record.name.startswith("http")), secrets
    )
    engine = api.plane.engine
    facts = engine.facts(0, 1 << 20).facts
    assert leaks(str([_values(fact.event) for fact in facts]), secrets) >= {ENV, STDIN}, (
        "the journal keeps what a task needs"
    )
    for fact in facts:
        assert not leaks(f"{fact!r} {_values(masked(fact.event))}", secrets), type(fact.event)
        header = f"{fact.actor} {fact.request_id} {fact.origin} {getattr(fact.event, 'id', '')}"
        assert not leaks(header, secrets), "headers are for ever"
    assert not leaks(repr(engine.state), secrets)
    _history_has_none(facts, tmp_path, secrets)


def _history_has_none(facts: Any, folder: Path, secrets: set[str]) -> None:
    """A second copy of a secret would outlive its erasure from the journal."""
    history = History(folder / "history.duckdb")
    history.ingest(facts)
    history.close()
    content = b"".join(path.read_bytes() for path in folder.iterdir())
    assert b"SECRET" in content
    assert MASK.encode() in content
    assert not {secret for secret in secrets if secret.encode() in content}


def _values(event: Any) -> list[Any]:
    return [getattr(event, name) for name in event.__slots__]


def _whole(record: logging.LogRecord) -> str:
    return f"{record.getMessage()} {record.args} {record.exc_info} {vars(record)}"
