"""Routes that are called without the framework answer as they do through it."""

from __future__ import annotations

import asyncio
import re
from typing import Any

import httpx
import pytest
from starlette.types import ASGIApp

from helix_ray.config import Settings
from helix_ray.security.tokens import KeyRing, TokenIssuer
from helix_ray.testing import MemoryControlPlane, add_user, memory_plane
from serve_app.app import ROUTERS, build_app
from serve_app.direct import Direct
from serve_app.edge.limiter import LeasingLimiter, grant_here
from serve_app.edge.stack import wrap
from serve_app.sessions import SessionCache
from tests.http.api_server import PASSWORD, PLENTY, TASK

# What the framework calls: a query is read there, and anybody may come in.
BY_FRAMEWORK = {
    ("HEAD", "/healthz"),
    ("HEAD", "/readyz"),
    ("GET", "/api/v1/tasks"),
    ("GET", "/api/v1/tasks/{task_id}/logs"),
    ("GET", "/api/v1/auth/tokens"),
    ("GET", "/api/v1/auth/sessions"),
    ("DELETE", "/api/v1/auth/sessions"),
    ("GET", "/api/v1/harmony/ai/acceleration"),
    ("GET", "/api/v1/harmony/nodes/{node_id}/devices"),
    ("GET", "/api/v1/aurora/audit"),
    ("GET", "/api/v1/aurora/audit/checkpoints"),
    ("GET", "/api/v1/aurora/monitoring/system"),
    ("GET", "/api/v1/aurora/audit/proof/inclusion"),
    ("GET", "/api/v1/aurora/audit/proof/consistency"),
    ("GET", "/api/v1/harmony/sync/changes"),
    ("GET", "/api/v1/harmony/sync/documents"),
    ("GET", "/api/v1/devices"),
    ("POST", "/api/v1/devices"),
    ("GET", "/api/v1/webhooks/{webhook_id}/deliveries"),
    ("GET", "/api/v1/webhooks/{webhook_id}/deliveries/{seq}"),
    ("POST", "/api/v1/auth/login"),
    ("POST", "/api/v1/auth/refresh"),
    ("GET", "/healthz"),
    ("GET", "/readyz"),
    ("GET", "/metrics"),
    ("GET", "/openapi.json"),
    ("GET", "/docs"),
}
# Differ from answer to answer.
IDS = re.compile(rb"(task|req|project)-[0-9a-z]+|\"\w+_(at|id)\":\"[^\"]*\"")


class Both:
    """One control plane, asked through the framework alone and with direct calls."""

    def __init__(self) -> None:
        settings = Settings()
        self.plane: MemoryControlPlane = memory_plane(settings, PASSWORD, None)
        add_user(self.plane, "eve", PASSWORD, ("viewer",))
        limiter, keys = LeasingLimiter(PLENTY, grant_here(PLENTY)), KeyRing.fresh()
        self.tokens, sessions = TokenIssuer(keys), SessionCache(self.plane)
        framework = build_app(self.plane, settings, keys, limiter, self.tokens, sessions)
        self.direct = Direct(framework, framework.state.services, ROUTERS)
        self._apps: tuple[ASGIApp, ...] = tuple(
            wrap(app, limiter=limiter, verifier=self.tokens, api_tokens=sessions)
            for app in (framework, self.direct)
        )

    async def ask(self, method: str, path: str, token: str | None, **given: Any) -> list[httpx.Response]:
        answers = []
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        for app in self._apps:
            transport = httpx.ASGITransport(app)
            async with httpx.AsyncClient(
                transport=transport, base_url="http://test", headers=headers
            ) as client:
                answers.append(await client.request(method, path, **given))
        return answers

    async def log_in(self, username: str) -> str:
        body = {"username": username, "password": PASSWORD}
        answer, _ = await self.ask("POST", "/api/v1/auth/login", None, json=body)
        token: str = answer.json()["token"]
        return token

    async def token_of(self, who: str) -> str | None:
        """Return a token: of a user, of a session that has ended, of a program; one
        that is forged or expired."""
        if who in ("admin", "eve"):
            return await self.log_in(who)
        if who == "left":
            token = await self.log_in("admin")
            await self.ask("POST", "/api/v1/auth/logout", token)
            return token
        if who == "expired":
            expired, _ = self.tokens.issue(
                user_id="user-1", name="admin", roles=["admin"], session_id="s", ttl_s=-3_600
            )
            return expired
        if who in ("program", "revoked"):
            admin = await self.log_in("admin")
            body = {"name": who, "roles": ["developer"], "projects": ["default"]}
            made, _ = await self.ask("POST", "/api/v1/auth/tokens", admin, json=body)
            if who == "revoked":
                await self.ask("DELETE", f"/api/v1/auth/tokens/{made.json()['id']}", admin)
            secret: str = made.json()["token"]
            return secret
        return "x.y.z" if who else None


@pytest.fixture(scope="module")
def both() -> Both:
    return Both()


def _likeness(answer: httpx.Response) -> tuple[int, bytes, list[str]]:
    """Return what two answers to the same must have in common."""
    return answer.status_code, IDS.sub(b"", answer.content), sorted(answer.headers)


def test_every_plain_route_is_called_directly(both: Both) -> None:
    """All routes but those that need a query, or let anybody in, are called without the framework."""
    all_routes = {
        (method, prefix + route.path)
        for prefix, router in ROUTERS
        for route in router.routes
        for method in route.methods
    }
    assert all_routes - both.direct.called() == BY_FRAMEWORK


REQUESTS: tuple[tuple[str, str, dict[str, Any]], ...] = (
    ("POST", "/tasks", {"json": TASK}),
    ("POST", "/tasks", {"json": {"title": "x"}}),
    ("POST", "/tasks", {"json": {**TASK, "priority": "no"}}),
    ("POST", "/tasks", {"json": TASK, "headers": {"Idempotency-Key": "a\tb"}}),
    ("POST", "/tasks", {"content": b"{", "headers": {"Content-Type": "application/json"}}),
    ("POST", "/tasks", {"content": b"x"}),
    ("POST", "/tasks", {}),
    ("POST", "/tasks/batch", {"json": {"tasks": [TASK]}}),
    ("GET", "/tasks/task-none", {}),
    ("GET", "/tasks/task-none?unknown=1", {}),
    ("GET", "/tasks/batch", {}),
    ("GET", "/tasks/%E2%82%AC%0A", {}),
    ("GET", "/tasks/a%2Fb", {}),
    ("GET", "/tasks/", {}),
    ("GET", "/tasks?limit=0", {}),
    ("PATCH", "/tasks/task-none", {}),
    ("HEAD", "/tasks/task-none", {}),
    ("PUT", "/tasks/task-none", {"json": {"progress": 5}}),
    ("DELETE", "/tasks/task-none", {}),
    ("POST", "/tasks/task-none/cancel", {}),
    ("GET", "/tasks/task-none/explain", {}),
    ("GET", "/tasks/task-none/result", {}),
    ("GET", "/tasks/task-none/result?wait_s=0.01", {}),
    ("GET", "/tasks/task-none/result?wait_s=x", {}),
    ("GET", "/tasks/task-none/result?wait_s=26&wait_s=1", {}),
    ("GET", "/tasks/task-none/result?other=1", {}),
    ("POST", "/workers/register", {"json": {"hostname": "h", "capabilities": ["planning"]}}),
    ("POST", "/workers/heartbeat", {"json": {"worker_id": "none"}}),
    ("GET", "/workers", {}),
    ("GET", "/harmony/cluster/status", {}),
    ("GET", "/projects", {}),
    ("DELETE", "/users/admin", {}),
    ("GET", "/nothing", {}),
    ("GET", "/workers", {"headers": [("Authorization", "Bearer x"), ("Authorization", "Bearer y")]}),
    ("GET", "/workers%0A", {}),
    ("GET", "/workers/", {}),
    ("GET", "/Workers", {}),
    ("GET", "//workers", {}),
    ("GET", "/workers?x=1&x=2&%ff", {}),
    ("OPTIONS", "/workers", {}),
    ("get", "/workers", {}),
    ("GET", "/tasks/%00", {}),
    ("GET", "/tasks/%2e%2e", {}),
    ("GET", "/tasks/{task_id}", {}),
    ("DELETE", "/auth/tokens/%ED%A0%80", {}),
    ("DELETE", "/workers/a%0D%0Ab", {}),
    ("POST", "/tasks", {"json": TASK, "headers": [("Idempotency-Key", "a"), ("Idempotency-Key", "b")]}),
    ("POST", "/tasks", {"json": TASK, "headers": {"Content-Encoding": "gzip"}}),
    ("POST", "/tasks", {"json": TASK, "headers": {"Content-Type": "application/merge-patch+json"}}),
    ("POST", "/tasks", {"content": b"[" * 5_000, "headers": {"Content-Type": "application/json"}}),
    ("POST", "/tasks", {"content": b'{"title": 1e999}', "headers": {"Content-Type": "application/json"}}),
    ("POST", "/tasks",
     {"content": b'{"title":"a","title":"b"}', "headers": {"Content-Type": "application/json"}}),
    ("POST", "/tasks", {"content": b"x" * 1_100_000, "headers": {"Content-Type": "application/json"}}),
    ("POST", "/tasks/task-none/cancel", {"content": b"x"}),
    ("GET", "/workers", {"content": b"x", "headers": {"X-Request-ID": "of-the-caller"}}),
)  # fmt: skip


@pytest.mark.parametrize("who", ["admin", "eve", "", "forged", "left", "expired", "program", "revoked"])
def test_answers_are_the_same(both: Both, who: str) -> None:
    """Success, refusal, odd paths, odd headers: status, body and headers are those of the
    framework's way, for everybody."""

    async def compare() -> None:
        token = await both.token_of(who)
        for method, path, given in REQUESTS:
            by_framework, directly = await both.ask(method, f"/api/v1{path}", token, **given)
            assert _likeness(by_framework) == _likeness(directly), (method, path)

    asyncio.run(compare())
