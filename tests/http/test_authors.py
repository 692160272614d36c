"""Every fact says who did it and where from, whatever the request was."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import httpx
import pytest

from helix_ray.core.access import inside
from helix_ray.core.events import Fact
from helix_ray.core.orders import RegisterWorker
from helix_ray.core.origin import USER_AGENT_CHARS_MAX, Origin
from tests.http.api_server import PASSWORD, TASK, Api

AGENT = {"User-Agent": "probe/1"}
LOGIN = {"username": "admin", "password": PASSWORD}


def facts_of(api: Api, act: Callable[[], Any]) -> list[Fact]:
    """Return the facts that an act leads to."""
    before = api.plane.engine.state.seq
    act()
    return list(api.plane.engine.facts(before, 100).facts)


def session_of(api: Api) -> str:
    """Return the id of the newest session."""
    return next(reversed(api.plane.engine.state.sessions))


@pytest.fixture
def user_id(api: Api) -> str:
    """Give the administrator's id."""
    return api.plane.engine.state.users_by_name["admin"]


def test_a_login_is_its_users(api: Api, user_id: str) -> None:
    """With the session that it opened; the replica that carries it out is nobody's author."""
    client = api.anonymous()
    (fact,) = facts_of(api, lambda: client.post("/auth/login", json=LOGIN, headers=AGENT))
    assert type(fact.event).__name__ == "SessionOpened"
    assert (fact.actor, fact.outcome) == (user_id, "ok")
    assert fact.origin == Origin("127.0.0.1", session_of(api), "probe/1")
    assert fact.request_id.startswith("req-")


def test_a_refresh_is_its_users(api: Api, user_id: str) -> None:
    """Also the second time, when it only keeps a receipt."""
    client = api.anonymous()
    sent = {"refresh_token": client.post("/auth/login", json=LOGIN).json()["refresh_token"]}
    for key in ("one", "two"):
        headers = {**AGENT, "Idempotency-Key": key}
        facts = facts_of(api, lambda told=headers: client.post("/auth/refresh", json=sent, headers=told))
        assert {fact.actor for fact in facts} == {user_id}
        assert {(fact.origin.address, fact.origin.user_agent) for fact in facts} == {("127.0.0.1", "probe/1")}


def test_a_refused_login_is_nobodys(api: Api) -> None:
    """Whoever gave the name has not proved that it is theirs."""
    wrong = {"username": "admin", "password": "not that one"}
    (fact,) = facts_of(api, lambda: api.anonymous().post("/auth/login", json=wrong, headers=AGENT))
    assert (fact.actor, fact.outcome, fact.origin.user_agent) == ("anonymous", "refused", "probe/1")


def test_a_wrong_present_password_is_the_users_own_refusal(api: Api, user_id: str) -> None:
    """They were signed in."""
    client = api.client()
    wrong = {"current_password": "not that one", "new_password": "another password 1"}
    (fact,) = facts_of(api, lambda: client.put("/auth/password", json=wrong))
    assert (fact.actor, fact.outcome, fact.origin.credential) == (user_id, "refused", session_of(api))


def test_a_request_names_its_session(api: Api, user_id: str) -> None:
    """And the client's own name for itself, cut to its limit and without what a terminal obeys."""
    client = api.client()
    agent = {"User-Agent": "pr\u00f6be\x9b31m" + "x" * 500}
    (fact,) = facts_of(api, lambda: client.post("/tasks", json=TASK, headers=_latin(agent)))
    assert fact.actor == user_id
    assert fact.origin.credential == session_of(api)
    assert fact.origin.user_agent == ("pr\u00f6be?31m" + "x" * 500)[:USER_AGENT_CHARS_MAX]


def test_a_request_names_its_api_token(api: Api, user_id: str) -> None:
    """Also the note that the token is in use."""
    made = api.client().post("/auth/tokens", json={"name": "ci"}).json()
    client = api.anonymous()
    client.headers["Authorization"] = f"Bearer {made['token']}"
    facts = facts_of(api, lambda: client.post("/tasks", json=TASK))
    assert {fact.actor for fact in facts} == {user_id}
    (submitted,) = [fact for fact in facts if type(fact.event).__name__ == "TaskSubmitted"]
    assert submitted.origin.credential == made["id"]


def test_who_is_inside_the_cluster_is_who_they_are(api: Api) -> None:
    """They have the system's rights and not its name."""
    node = RegisterWorker(
        "host-9", (), {"cpu": 1}, worker_id="worker-host-9", kind="node", node_id="n9", boot="boot-1"
    )
    (fact,) = facts_of(api, lambda: api.plane.give(node, inside("worker-host-9")))
    assert (fact.actor, fact.origin) == ("worker-host-9", Origin())


def _latin(headers: dict[str, str]) -> httpx.Headers:
    return httpx.Headers([(name.encode(), value.encode("latin-1")) for name, value in headers.items()])
