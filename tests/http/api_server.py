"""The whole application on a control plane in memory, served by uvicorn on a real socket."""

from __future__ import annotations

import socket
import ssl
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import httpx
import uvicorn

from helix_ray.config import Settings
from helix_ray.core.limits import POLICIES, RateLimitPolicy
from helix_ray.ports import Clock, ControlPlane
from helix_ray.security.tokens import KeyRing, TokenIssuer
from helix_ray.testing import MemoryControlPlane, add_user, memory_plane
from serve_app.app import build_asgi
from serve_app.edge.limiter import LeasingLimiter, grant_here
from serve_app.public_port.connection import protocol
from serve_app.public_port.limits import ConnectionLimits

PASSWORD = "admin123"
# These servers speak plain HTTP: clients need not load certificates (20 ms each).
NO_TLS = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
PLENTY = tuple(policy._replace(limit=10_000_000) for policy in POLICIES)
TASK = {"title": "Test Task", "type": "planning", "priority": "high"}


@dataclass
class Api:
    """A running API: its address, and the control plane behind it."""

    url: str
    plane: MemoryControlPlane
    clients: list[httpx.Client] = field(default_factory=list)

    def anonymous(self) -> httpx.Client:
        """A client without a token."""
        client = httpx.Client(base_url=f"{self.url}/api/v1", timeout=30, verify=NO_TLS)
        self.clients.append(client)
        return client

    def client(self, username: str = "admin", password: str = PASSWORD) -> httpx.Client:
        """A client that has logged in."""
        client = self.anonymous()
        answer = client.post("/auth/login", json={"username": username, "password": password})
        assert answer.status_code == 200, answer.text
        client.headers["Authorization"] = f"Bearer {answer.json()['token']}"
        return client

    def add(self, username: str, *roles: str) -> httpx.Client:
        """A client of a user who is added now."""
        add_user(self.plane, username, PASSWORD, roles)
        return self.client(username)

    def submit(self, client: httpx.Client, **fields: Any) -> str:
        """Submit a task and return its id."""
        answer = client.post("/tasks", json={**TASK, **fields})
        assert answer.status_code == 201, answer.text
        task_id: str = answer.json()["id"]
        return task_id


@contextmanager
def serving_api(
    settings: Settings | None = None,
    *,
    clock: Clock | None = None,
    policies: Sequence[RateLimitPolicy] = PLENTY,
    plane: MemoryControlPlane | None = None,
    control: ControlPlane | None = None,
    keys: KeyRing | None = None,
    limiter: LeasingLimiter | None = None,
    tokens: TokenIssuer | None = None,
    tls: Mapping[str, Any] | None = None,
) -> Iterator[Api]:
    """Serve the application until the block ends; `control` stands before the plane where one is given,
    `limiter` and `tokens` may have clocks of their own. `tls` are uvicorn's settings of it."""
    with TemporaryDirectory() as folder:
        settings = settings or Settings()
        if settings.data_dir == Settings().data_dir:
            # Files that are pushed go there.
            settings = replace(settings, data_dir=Path(folder))
        if settings.sign_in_failures_max == Settings().sign_in_failures_max:
            # Tests of other things type wrong passwords too.
            settings = replace(settings, sign_in_failures_max=10_000_000)
        yield from _serving(settings, clock, policies, plane, control, keys, limiter, tokens, tls or {})


def _serving(
    settings: Settings,
    clock: Clock | None,
    policies: Sequence[RateLimitPolicy],
    plane: MemoryControlPlane | None,
    control: ControlPlane | None,
    keys: KeyRing | None,
    limiter: LeasingLimiter | None,
    tokens: TokenIssuer | None,
    tls: Mapping[str, Any],
) -> Iterator[Api]:
    plane = plane or memory_plane(settings, PASSWORD, clock)
    limiter = limiter or LeasingLimiter(policies, grant_here(policies))
    app = build_asgi(
        control or plane, settings, keys or KeyRing.fresh(), limiter, tokens, plane.report_replica
    )
    config = uvicorn.Config(
        app,
        proxy_headers=False,
        log_config=None,
        access_log=False,
        lifespan="on",
        http=protocol(ConnectionLimits.of(settings)),
        **tls,
    )
    server = uvicorn.Server(config)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
        thread.start()
        scheme = "https" if tls else "http"
        api = Api(f"{scheme}://127.0.0.1:{listener.getsockname()[1]}", plane)
        try:
            yield api
        finally:
            for client in api.clients:
                client.close()
            server.should_exit = True
            thread.join()


def error_of(answer: httpx.Response, status: int, code: str) -> dict[str, Any]:
    """Check an answer for the documented form of an error, and return the error."""
    assert answer.status_code == status, answer.text
    content = answer.json()
    assert content.keys() == {"error", "request_id"}
    assert content["error"].keys() == {"code", "message", "details"}
    assert content["error"]["code"] == code
    assert content["request_id"] == answer.headers["x-request-id"]
    assert int(answer.headers["x-ratelimit-limit"]) > 0
    error: dict[str, Any] = content["error"]
    return error
