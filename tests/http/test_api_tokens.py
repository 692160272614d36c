"""API tokens over HTTP: shown once, a part of what their owner may do, gone everywhere within a second."""

from __future__ import annotations

import re
import time
from datetime import datetime

import httpx
import pytest

from helix_ray.config import Settings
from helix_ray.core.events import TokenUsed
from helix_ray.core.limits import ANONYMOUS, AUTHENTICATED, LOGIN, WORKERS
from helix_ray.security.api_tokens import make_api_token
from helix_ray.security.tokens import KeyRing
from helix_ray.testing import MemoryControlPlane
from helix_ray.wire.tokens import TokenMadeOut, TokensOut
from tests.http.api_server import PLENTY, TASK, Api, error_of, serving_api
from tests.http.shapes import shaped

REVOKED_S_MAX = 1.0


def make(client: httpx.Client, **fields: object) -> dict[str, str]:
    """Make a token; return the answer."""
    answer = client.post("/auth/tokens", json={"name": "ci", **fields})
    assert answer.status_code == 201, answer.text
    made: dict[str, str] = answer.json()
    return made


def bearer(api: Api, token: str) -> httpx.Client:
    """Return a client that comes with a token."""
    client = api.anonymous()
    client.headers["Authorization"] = f"Bearer {token}"
    return client


def test_it_is_shown_once_and_listed_without_its_secret(api: Api, admin: httpx.Client) -> None:
    """A form that scanners know, 90 days by default, and no trace of it in the journal or the state."""
    made = shaped(TokenMadeOut, make(admin))
    assert re.fullmatch(r"helix_pat_[0-9A-Za-z]{36}", made["token"])
    assert made["token"].startswith(made["prefix"])
    assert len(made["prefix"]) == len("helix_pat_") + 4
    lives = datetime.fromisoformat(made["expires_at"]) - datetime.fromisoformat(made["created_at"])
    assert lives.days == 90
    listed = admin.get("/auth/tokens")
    (found,) = [t for t in shaped(TokensOut, listed.json())["tokens"] if t["id"] == made["id"]]
    assert found == {k: v for k, v in made.items() if k != "token"}
    kept = repr(api.plane.engine.facts(0, 1_000_000).facts) + repr(api.plane.engine.state)
    assert made["token"][14:] not in kept + listed.text


def test_it_does_what_its_roles_allow_and_notes_its_use(api: Api) -> None:
    """Some of its owner's roles; the first use is noted, the next ones are not for five minutes."""
    owner = api.add("owner", "developer", "worker")
    made = make(owner, roles=["developer"])
    client = bearer(api, made["token"])
    task_id = api.submit(client)
    assert owner.get(f"/tasks/{task_id}").status_code == 200
    hello = {"hostname": "h", "capabilities": [], "resources": {}}
    error_of(client.post("/workers/register", json=hello), 403, "FORBIDDEN")
    assert client.get("/auth/me").json()["username"] == "owner"
    end = time.monotonic() + 1.5
    while time.monotonic() < end:
        assert client.get("/tasks").status_code == 200
    facts = api.plane.engine.facts(0, 1_000_000).facts
    assert [f.event.id for f in facts if isinstance(f.event, TokenUsed)] == [made["id"]]
    assert owner.get("/auth/tokens").json()["tokens"][0]["last_used_at"] is not None


@pytest.mark.parametrize("way", ["DELETE", "owner removed"])
def test_it_is_gone_at_every_replica_within_a_second(way: str) -> None:
    """When it is revoked or its owner removed; the answer says why."""
    keys = KeyRing.fresh()
    with serving_api(keys=keys) as one, serving_api(keys=keys, plane=one.plane) as two:
        owner = one.add("owner", "developer")
        made = make(owner)
        here, there = bearer(one, made["token"]), bearer(two, made["token"])
        assert here.get("/tasks").status_code == there.get("/tasks").status_code == 200
        if way == "DELETE":
            assert owner.delete(f"/auth/tokens/{made['id']}").status_code == 204
        else:
            assert one.client().delete("/users/owner").status_code == 204
        start = asked = time.monotonic()
        while (answer := there.get("/tasks")).status_code == 200:
            asked = time.monotonic()
        assert asked - start < REVOKED_S_MAX
        for refused in (answer, here.get("/tasks")):
            details = error_of(refused, 401, "UNAUTHORIZED")["details"]
            assert details["reason"] == ("revoked" if way == "DELETE" else "user_removed")
            assert details["credential"] == made["id"]


def test_who_lists_and_revokes_which(api: Api, admin: httpx.Client) -> None:
    """Everybody their own; an administrator all of them, or one user's."""
    ann, bob = api.add("ann", "viewer"), api.add("bob", "viewer")
    anns, bobs = make(ann), make(bob)
    assert [t["id"] for t in ann.get("/auth/tokens").json()["tokens"]] == [anns["id"]]
    error_of(ann.get("/auth/tokens", params={"user": "bob"}), 404, "NOT_FOUND")
    error_of(ann.delete(f"/auth/tokens/{bobs['id']}"), 404, "NOT_FOUND")
    assert {t["id"] for t in admin.get("/auth/tokens").json()["tokens"]} >= {anns["id"], bobs["id"]}
    of_bob = admin.get("/auth/tokens", params={"user": "BOB"}).json()["tokens"]
    assert [t["id"] for t in of_bob] == [bobs["id"]]
    error_of(admin.get("/auth/tokens", params={"user": "nobody"}), 404, "NOT_FOUND")
    assert admin.delete(f"/auth/tokens/{bobs['id']}").status_code == 204


def test_one_of_projects_sees_and_submits_to_those_only(api: Api) -> None:
    """403 for others, 404 for what is in them, and no administration."""
    owner = api.add("lead", "admin")
    client = bearer(api, make(owner, projects=["p-1"])["token"])
    inside, outside = api.submit(owner, project_id="p-1"), api.submit(owner, project_id="p-2")
    assert api.submit(client, project_id="p-1")
    for body in (TASK, {**TASK, "project_id": "p-2"}):
        error = error_of(client.post("/tasks", json=body), 403, "FORBIDDEN")
        assert error["details"]["projects"] == ["p-1"]
    assert client.get(f"/tasks/{inside}").status_code == 200
    error_of(client.get(f"/tasks/{outside}"), 404, "NOT_FOUND")
    error_of(client.delete(f"/tasks/{outside}"), 404, "NOT_FOUND")
    assert {task["project_id"] for task in client.get("/tasks").json()["tasks"]} == {"p-1"}
    for path in ("/users", "/auth/tokens"):
        error_of(client.get(path), 403, "FORBIDDEN")


def test_one_of_projects_does_not_repeat_what_its_owner_did_elsewhere(api: Api) -> None:
    """With the same key and body it is refused like any other request; its own requests are repeated."""
    owner = api.add("keyed", "admin")
    client = bearer(api, make(owner, projects=["p-1"])["token"])
    again = bearer(api, make(owner, projects=["p-1"])["token"])
    elsewhere, here = {**TASK, "project_id": "p-2"}, {**TASK, "project_id": "p-1"}
    key, other = {"Idempotency-Key": "one"}, {"Idempotency-Key": "two"}
    assert owner.post("/tasks", json=elsewhere, headers=key).status_code == 201
    error_of(client.post("/tasks", json=elsewhere, headers=key), 403, "FORBIDDEN")
    first = client.post("/tasks", json=here, headers=other)
    assert first.status_code == 201
    assert again.post("/tasks", json=here, headers=other).json() == first.json()


def test_one_of_projects_names_nothing_beyond_them(api: Api) -> None:
    """What waits for a task of another project is refused as for an unknown one, and no other
    token can be ended by it."""
    owner = api.add("lead-2", "admin")
    made, other = make(owner, projects=["p-1"]), make(owner)
    client = bearer(api, made["token"])
    inside, outside = api.submit(owner, project_id="p-1"), api.submit(owner, project_id="p-2")
    body = {**TASK, "project_id": "p-1"}
    assert client.post("/tasks", json={**body, "depends_on": [inside]}).status_code == 201
    refused = error_of(client.post("/tasks", json={**body, "depends_on": [outside]}), 400, "VALIDATION_ERROR")
    unknown = error_of(
        client.post("/tasks", json={**body, "depends_on": ["task-none"]}), 400, "VALIDATION_ERROR"
    )
    assert set(refused["details"]) == set(unknown["details"])
    error_of(client.delete(f"/auth/tokens/{other['id']}"), 404, "NOT_FOUND")
    assert bearer(api, other["token"]).get("/auth/me").status_code == 200
    assert client.delete(f"/auth/tokens/{made['id']}").status_code == 204


def test_the_name_of_a_project_is_one_line(api: Api) -> None:
    """Control characters of a project's name would reach the terminal of whoever lists it:
    refused, wherever it is given."""
    owner = api.add("lead-3", "admin")
    named = "p\x1b[31m"
    error_of(owner.post("/tasks", json={**TASK, "project_id": named}), 400, "VALIDATION_ERROR")
    error_of(owner.post("/auth/tokens", json={"name": "n", "projects": [named]}), 400, "VALIDATION_ERROR")
    task_id = api.submit(owner)
    error_of(owner.put(f"/tasks/{task_id}", json={"project_id": named}), 400, "VALIDATION_ERROR")


def test_a_repeated_request_gets_the_same_token_and_another_body_a_conflict(
    api: Api, admin: httpx.Client
) -> None:
    """A client that lost the answer has its token, and no second one lies about."""
    key = {"Idempotency-Key": "make-token"}
    first = admin.post("/auth/tokens", json={"name": "once"}, headers=key)
    again = admin.post("/auth/tokens", json={"name": "once"}, headers=key)
    assert (first.status_code, again.json()) == (201, first.json())
    assert again.headers["idempotency-replayed"] == "true"
    error_of(admin.post("/auth/tokens", json={"name": "other"}, headers=key), 409, "CONFLICT")


def test_a_wrong_checksum_is_refused_without_asking(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    """One character off is not looked up; one with a right checksum is, and is unknown."""
    asked = []
    query = MemoryControlPlane.query

    async def noted(self: MemoryControlPlane, *arguments: object) -> object:
        asked.append(arguments[0])
        return await query(self, *arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(MemoryControlPlane, "query", noted)
    token = make_api_token()
    for wrong in (
        token[:-1] + ("a" if token[-1] != "a" else "b"),
        token[:-1],
        token + "x",
        "helix_pat_",
        "helix_pat_\u00e4",
    ):
        headers = {"Authorization": b"Bearer " + wrong.encode("latin-1")}
        error = error_of(api.anonymous().get("/tasks", headers=headers), 401, "UNAUTHORIZED")
        assert error["details"]["reason"] == "checksum"
    assert not asked
    error = error_of(bearer(api, token).get("/tasks"), 401, "UNAUTHORIZED")
    assert error["details"]["reason"] == "unknown"
    assert len(asked) == 1


def test_requests_are_counted_for_the_user_and_its_look_ups_are_few() -> None:
    """A session and two tokens of a user share one limit, and no request waits for a call of its own."""
    few = (AUTHENTICATED._replace(limit=6), ANONYMOUS, LOGIN, WORKERS)
    with serving_api(Settings(), policies=few) as api:
        owner = api.client()
        tokens = [make(owner)["token"], make(owner)["token"]]
        clients = [bearer(api, token) for token in tokens]
        statuses = [client.get("/auth/me").status_code for _ in range(3) for client in clients]
        assert statuses == [200] * 4 + [429] * 2
    assert PLENTY[0].limit > few[0].limit


@pytest.mark.parametrize(
    ("path", "body", "message"),
    [
        ("/auth/tokens", {"roles": ["viewer"]}, "token name: it must have 1 to 128 printable characters"),
        ("/projects", {"id": "p"}, "project name: it must have at most 200 printable characters"),
        (
            "/webhooks",
            {"url": "https://example.com", "events": ["*"]},
            "webhook name: it must have at most 200 printable characters",
        ),
    ],
)
def test_a_name_is_refused_in_words(api: Api, path: str, body: dict[str, object], message: str) -> None:
    """How long it may be is not all that may be wrong with it."""
    refused = api.client().post(path, json={**body, "name": "a\u202e"})
    assert error_of(refused, 400, "VALIDATION_ERROR")["message"] == f"Invalid {message}"
