"""Every error code can be reached on purpose, and has its documented status and form."""

from __future__ import annotations

import asyncio
import contextlib
import http.client
import logging
import socket
from collections.abc import Callable
from typing import Any

import httpx
import pytest

from helix_ray.config import Settings
from helix_ray.core.access import Principal
from helix_ray.core.errors import ErrorCode, Rejected
from helix_ray.core.limits import ANONYMOUS, AUTHENTICATED, LOGIN
from helix_ray.core.questions import ListWorkers, Question, Readiness
from helix_ray.testing import MemoryControlPlane, memory_plane
from serve_app.problems import STATUS
from tests.http.api_server import PASSWORD, TASK, Api, error_of, serving_api


class Faulty(MemoryControlPlane):
    """Fails on one question, and never answers another."""

    async def query(
        self, question: Question, by: Principal, wait_s: float = 0.0
    ) -> dict[str, Any] | Rejected:
        if isinstance(question, ListWorkers):
            raise RuntimeError("the secret is hunter2")
        if isinstance(question, Readiness):
            await asyncio.Event().wait()
        return await super().query(question, by, wait_s)


def make_conflict(api: Api, client: httpx.Client) -> httpx.Response:
    return client.post(f"/tasks/{api.submit(client)}/retry")


def use_up(api: Api, client: httpx.Client) -> httpx.Response:
    few = (AUTHENTICATED._replace(limit=1), ANONYMOUS, LOGIN)
    with serving_api(policies=few) as other:
        limited = other.client()
        limited.get("/tasks")
        return limited.get("/tasks")


def send_half(api: Api, _: httpx.Client) -> httpx.Response:
    """A body that does not come: asked for, and not sent."""
    url = httpx.URL(api.url)
    with socket.create_connection((url.host, url.port or 80), timeout=20) as half:
        half.sendall(b"POST /api/v1/auth/login HTTP/1.1\r\nhost: t\r\ncontent-length: 9\r\n\r\n")
        with contextlib.closing(http.client.HTTPResponse(half)) as got:
            got.begin()
            return httpx.Response(got.status, headers=dict(got.getheaders()), content=got.read())


Reach = Callable[[Api, httpx.Client], httpx.Response]
WAYS: dict[ErrorCode, Reach] = {
    ErrorCode.UNAUTHORIZED: lambda api, _: api.anonymous().get("/tasks"),
    ErrorCode.FORBIDDEN: lambda api, _: api.add("viola", "viewer").post("/tasks", json=TASK),
    ErrorCode.NOT_FOUND: lambda _, client: client.get("/tasks/task-none"),
    ErrorCode.VALIDATION_ERROR: lambda _, client: client.post("/tasks", json={**TASK, "priority": "urgent"}),
    ErrorCode.CONFLICT: make_conflict,
    ErrorCode.RATE_LIMIT_EXCEEDED: use_up,
    ErrorCode.INTERNAL_ERROR: lambda _, client: client.get("/workers"),
    ErrorCode.SERVICE_UNAVAILABLE: lambda api, _: httpx.get(f"{api.url}/readyz", timeout=30),
    ErrorCode.PAYLOAD_TOO_LARGE: lambda _, client: client.post("/tasks", json={"title": "x" * (1 << 20)}),
    ErrorCode.METHOD_NOT_ALLOWED: lambda _, client: client.patch("/tasks"),
    ErrorCode.REQUEST_TIMEOUT: send_half,
    ErrorCode.GONE: lambda _, client: client.get("/events", params={"after": 1 << 40}),
    ErrorCode.HEADERS_TOO_LARGE: lambda _, client: client.get("/tasks", headers={"x-a": "a" * 70_000}),
}


@pytest.mark.parametrize("code", ErrorCode)
def test_a_code_is_reached(code: ErrorCode, caplog: pytest.LogCaptureFixture) -> None:
    settings = Settings(body_read_s_max=0.3)
    plane = Faulty(settings.policy())
    plane.engine = memory_plane(settings, PASSWORD).engine
    with (
        serving_api(settings, plane=plane) as api,
        caplog.at_level(logging.CRITICAL, "serve_app.edge.errors"),
    ):
        answer = WAYS[code](api, api.client())
        error = error_of(answer, STATUS[code], code.value)
        assert error["message"]
        assert "hunter2" not in answer.text
