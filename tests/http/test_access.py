"""Who may call what: every route has a verb, every role is tried on every route."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from fastapi import APIRouter

from helix_ray.config import Settings
from helix_ray.core.access import ROLES
from helix_ray.core.orders import OpenSession
from helix_ray.core.verbs import VERBS
from helix_ray.security.tokens import Claims, KeyRing
from helix_ray.testing import memory_plane
from serve_app.app import PREFIX, build_app
from serve_app.deps import VERB
from serve_app.edge import state
from serve_app.edge.limiter import LeasingLimiter, grant_here
from serve_app.openapi import operations
from serve_app.routes import tasks
from tests.http.api_server import PLENTY, Api, error_of, serving_api

# The only routes that need no session.
PUBLIC = {
    ("post", f"{PREFIX}/auth/login"),
    ("post", f"{PREFIX}/auth/refresh"),
    ("post", f"{PREFIX}/devices"),
    ("get", "/healthz"),
    ("get", "/readyz"),
    ("get", "/metrics"),
}
# Asked on the way to the answer of another route, or by the Python API.
WITHOUT_ROUTE = {
    "Counts",
    "GetStored",
    "JournalSize",
    "PlanTask",
    "SystemHistory",
    "NoticeTasks",
    "WaitTasks",
}
BODIES: dict[str, Any] = {
    f"{PREFIX}/auth/password": {"current_password": "wrong password", "new_password": "another password"},
}


def application() -> Any:
    settings = Settings()
    return build_app(
        memory_plane(settings), settings, KeyRing.fresh(), LeasingLimiter(PLENTY, grant_here(PLENTY))
    )


DOCUMENT = application().openapi()
ROUTES = [
    (method, path, operation.get(VERB))
    for path, method, operation in operations(DOCUMENT)
    if (method, path) not in PUBLIC
]


def test_every_route_but_the_public_ones_has_a_verb_of_the_access_table() -> None:
    assert all(VERBS[verb].allowed for _, _, verb in ROUTES)
    known = {(method, path) for path, method, _ in operations(DOCUMENT)}
    assert known >= PUBLIC
    for path, method, operation in operations(DOCUMENT):
        assert ((method, path) in PUBLIC) == (VERB not in operation)


def test_what_a_role_may_has_a_route() -> None:
    """An order or question that is allowed to somebody, and that nobody can reach, is a
    route that was forgotten."""
    reached = {verb for _, _, verb in ROUTES}
    assert {name for name, verb in VERBS.items() if verb.allowed} - reached == WITHOUT_ROUTE


def test_a_route_without_a_verb_lets_nobody_in() -> None:
    """Deny by default: forgetting the verb closes the route, it does not open it."""
    app = application()
    forgotten = APIRouter(prefix=PREFIX)
    forgotten.add_api_route("/forgotten", tasks.list_tasks, methods=["GET"])
    app.include_router(forgotten)
    plane = app.state.services.control
    (user,) = plane.engine.state.users.values()
    plane.give(OpenSession(user.id, "session-1", "hash", 4e9))
    claims = Claims(
        user_id=user.id,
        name=user.username,
        roles=user.roles,
        session_id="session-1",
        token_id="t",
        issued_at=0,
        expires_at=4_000_000_000,
    )

    async def behind_the_edge(scope: Any, receive: Any, send: Any) -> None:
        scope["state"] = {state.CLAIMS: claims, state.REQUEST_ID: "req-00000001"}
        await app(scope, receive, send)

    async def ask() -> list[int]:
        transport = httpx.ASGITransport(behind_the_edge)
        async with httpx.AsyncClient(transport=transport, base_url=f"http://test{PREFIX}") as client:
            return [(await client.get(path)).status_code for path in ("/tasks", "/forgotten")]

    assert asyncio.run(ask()) == [200, 403]


@pytest.fixture(scope="module")
def everybody() -> Iterator[tuple[Api, dict[str, httpx.Client]]]:
    # Event streams end at once here.
    with serving_api(Settings(stream_s_max=0.01)) as api:
        yield api, {role: api.add(f"the-{role}", role) for role in ROLES}


@pytest.mark.parametrize("role", ROLES)
@pytest.mark.parametrize(("method", "path", "verb"), ROUTES, ids=lambda value: str(value))
def test_a_role_gets_in_exactly_where_the_table_says(
    everybody: tuple[Api, dict[str, httpx.Client]], role: str, method: str, path: str, verb: str
) -> None:
    """What the table denies is FORBIDDEN before the body is looked at; what it allows is
    never FORBIDDEN by role."""
    api, clients = everybody
    # A session that logs out here must not be the one that the other cases use.
    client = api.client(f"the-{role}") if path.endswith("/logout") else clients[role]
    if (method, path) == ("delete", f"{PREFIX}/auth/sessions"):
        # Nor may all sessions of the user end here whom the other cases use.
        client = api.add(f"a-leaving-{role}", role)
    url = path.removeprefix(PREFIX).replace("{task_id}", "task-none")
    url = (
        url.replace("{worker_id}", "worker-none")
        .replace("{node_id}", "worker-none")
        .replace("{project_id}", "p")
        .replace("{username}", "nobody")
    )
    answer = client.request(method, url, json=BODIES.get(path))
    if role in VERBS[verb].allowed:
        refused = answer.status_code == 403 and "action" in answer.json()["error"]["details"]
        assert not refused, answer.text
        assert answer.status_code < 500
    else:
        assert error_of(answer, 403, "FORBIDDEN")["details"]["action"] == verb


@pytest.mark.parametrize(("method", "path", "verb"), ROUTES, ids=lambda value: str(value))
def test_without_a_session_every_other_route_is_closed(
    everybody: tuple[Api, Any], method: str, path: str, verb: str
) -> None:
    answer = (
        everybody[0].anonymous().request(method, path.removeprefix(PREFIX).replace("{", "").replace("}", ""))
    )
    error_of(answer, 401, "UNAUTHORIZED")


def test_the_tasks_of_others_do_not_exist_for_a_developer(
    everybody: tuple[Api, dict[str, httpx.Client]],
) -> None:
    api, clients = everybody
    task_id = api.submit(clients["admin"])
    developer, viewer = clients["developer"], clients["viewer"]
    for method, path, body in (
        ("GET", "", None), ("PUT", "", {"title": "mine"}), ("DELETE", "", None), ("POST", "/cancel", None),
        ("POST", "/retry", None), ("GET", "/result", None), ("GET", "/logs", None),
    ):  # fmt: skip
        error_of(developer.request(method, f"/tasks/{task_id}{path}", json=body), 404, "NOT_FOUND")
    answer = developer.post("/tasks", json={"title": "x", "type": "building", "depends_on": [task_id]})
    error_of(answer, 400, "VALIDATION_ERROR")
    assert developer.get("/tasks").json()["total"] == 0
    assert viewer.get("/tasks").json()["total"] == 1
    assert viewer.get(f"/tasks/{task_id}").status_code == 200
