"""A small application behind the edge, served by uvicorn on a real socket, and a client that
sends bytes as they are."""

from __future__ import annotations

import asyncio
import contextlib
import http.client
import json
import re
import socket
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from typing import Annotated, Any, Literal

import uvicorn
from fastapi import APIRouter, FastAPI, Query, Request
from fastapi.responses import PlainTextResponse, StreamingResponse
from pydantic import BaseModel, ConfigDict, Field

from helix_ray.core.errors import ErrorCode, Refused, Rejected
from helix_ray.core.limits import POLICIES, RateLimitPolicy
from helix_ray.security.tokens import KeyRing, TokenIssuer
from serve_app import problems
from serve_app.edge import state, unparsed
from serve_app.edge.limiter import ASK_S_MAX, AskQuotaServer, LeasingLimiter, grant_here
from serve_app.edge.stack import wrap
from serve_app.public_port.connection import protocol
from serve_app.public_port.limits import ConnectionLimits

JSON = "application/json"
JSON = "application/json"
LARGE_BYTES = 16 << 20
PLENTY = tuple(policy._replace(limit=100_000) for policy in POLICIES)
# What became of requests to /wait.
WAITED: list[str] = []
TOKENS = TokenIssuer(KeyRing.fresh())
TOKEN, _ = TOKENS.issue(user_id="user-1", name="admin", roles=["admin"], session_id="s", ttl_s=3_600)


class Task(BaseModel):
    model_config = ConfigDict(extra="forbid")
    title: str = Field(min_length=1, max_length=200)
    type: Literal["planning", "building"]
    priority: Literal["low", "normal", "high", "critical"] = "normal"


class Login(BaseModel):
    model_config = ConfigDict(extra="forbid")
    username: str
    password: str = Field(min_length=8)


def tasks_router() -> APIRouter:
    router = APIRouter(prefix="/api/v1/tasks")

    @router.get("")
    async def listed(
        limit: Annotated[int, Query(ge=1, le=1_000)] = 50,
        status: Literal["pending", "running"] | None = None,
    ) -> dict[str, int]:
        return {"limit": limit}

    @router.post("", status_code=201)
    async def submit(task: Task) -> Task:
        return task

    @router.post("/batch")
    async def batch(request: Request) -> dict[str, int]:
        return {"bytes": len(await request.body())}

    @router.get("/{task_id}")
    async def get(task_id: str) -> dict[str, str]:
        raise Refused(Rejected(ErrorCode.NOT_FOUND, "Task not found", {"id": task_id}))

    @router.delete("/{task_id}", status_code=204)
    async def delete(task_id: str) -> None:
        return None

    return router


def odd_router() -> APIRouter:
    router = APIRouter()

    @router.get("/healthz")
    async def health() -> dict[str, str]:
        return {"status": "ok"}

    @router.post("/api/v1/auth/login")
    async def login(login: Login) -> dict[str, str]:
        return {"token": "none"}

    @router.get("/api/v1/me")
    async def me(request: Request) -> dict[str, Any]:
        refusal = getattr(request.state, state.TOKEN_REFUSAL)
        claims = getattr(request.state, state.CLAIMS)
        if claims is None:
            raise Refused(refusal or Rejected(ErrorCode.UNAUTHORIZED, "Missing authentication token"))
        return {"user": claims.user_id}

    @router.get("/address")
    async def address(request: Request) -> dict[str, str]:
        return {
            "address": getattr(request.state, state.CLIENT_ADDRESS),
            "id": problems.request_id_of(request.scope),
        }

    @router.get("/api/v1/boom")
    async def boom() -> None:
        raise RuntimeError("a secret: hunter2")

    @router.get("/api/v1/busy")
    async def busy() -> None:
        raise Refused(Rejected(ErrorCode.SERVICE_UNAVAILABLE, "Busy", {"retry_after_s": 7}))

    @router.get("/api/v1/kept")
    async def kept() -> PlainTextResponse:
        return PlainTextResponse("x", headers={"cache-control": "max-age=60"})

    @router.get("/large")
    async def large() -> PlainTextResponse:
        return PlainTextResponse("x" * LARGE_BYTES)

    @router.get("/wait")
    async def wait() -> None:
        WAITED.append("begun")
        try:
            await asyncio.sleep(60)
        finally:
            WAITED.append("ended")

    @router.get("/stream")
    async def stream(broken: bool = False) -> StreamingResponse:
        async def lines() -> AsyncIterator[bytes]:
            yield b"data: 1\n\n"
            if broken:
                raise RuntimeError("half-way")
            yield b"data: 2\n\n"

        return StreamingResponse(lines(), media_type="text/event-stream")

    return router


@dataclass
class Server:
    port: int

    def send(
        self, raw: bytes, method: str = "GET", more: Callable[[], Iterator[bytes]] = lambda: iter(())
    ) -> Answer:
        """Send bytes as they are and read one answer."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=60) as connection:
            connection.sendall(raw)
            for part in more():
                connection.sendall(part)
            return read_answer(connection, method)

    def ask(self, method: str, path: str, body: bytes = b"", **headers: str) -> Answer:
        return self.send(written(method, path, body, **headers), method)


@dataclass
class Answer:
    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def error(self) -> dict[str, Any]:
        error: dict[str, Any] = json.loads(self.body)["error"]
        return error


def read_answer(connection: socket.socket, method: str) -> Answer:
    # Unless it is closed, it keeps the connection open beyond the caller's block.
    with contextlib.closing(http.client.HTTPResponse(connection, method=method)) as response:
        response.begin()
        headers = {name.lower(): value for name, value in response.getheaders()}
        return Answer(response.status, headers, response.read())


def written(method: str, path: str, body: bytes = b"", **headers: str) -> bytes:
    """A request as bytes; header names are written with underscores."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    if body:
        named = {"content-length": str(len(body)), **named}
    lines = [
        f"{method} {path} HTTP/1.1",
        "host: test",
        *(f"{name}: {value}" for name, value in named.items()),
    ]
    return "\r\n".join(lines).encode("latin-1") + b"\r\n\r\n" + body


@contextmanager
def serving(
    policies: tuple[RateLimitPolicy, ...] = PLENTY,
    ask_quota_server: AskQuotaServer | None = None,
    proxy_headers: bool = False,
    ask_s_max: float = ASK_S_MAX,
    connection_limits: ConnectionLimits | None = None,
    own_protocol: bool = True,
    **options: Any,
) -> Iterator[Server]:
    """The test application behind the edge, served by uvicorn on a port of its own until the block ends."""
    limiter = LeasingLimiter(policies, ask_quota_server or grant_here(policies), ask_s_max=ask_s_max)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        yield
        await limiter.close()

    app = FastAPI(lifespan=lifespan, redirect_slashes=False)
    app.include_router(tasks_router())
    app.include_router(odd_router())
    problems.install(app)
    edge = wrap(app, limiter=limiter, verifier=TOKENS, **options)
    unparsed.look_at(limiter)

    config = uvicorn.Config(
        edge,
        proxy_headers=proxy_headers,
        log_config=None,
        access_log=False,
        lifespan="on",
        http=protocol(connection_limits or ConnectionLimits()) if own_protocol else "auto",
    )
    server = uvicorn.Server(config)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
        thread.start()
        try:
            yield Server(listener.getsockname()[1])
        finally:
            server.should_exit = True
            thread.join()


def assert_headers(answer: Answer, *, api: bool = True) -> None:
    """What every answer carries."""
    headers = answer.headers
    assert re.fullmatch(r"[A-Za-z0-9._-]{8,64}", headers["x-request-id"])
    assert int(headers["x-ratelimit-limit"]) >= int(headers["x-ratelimit-remaining"]) >= 0
    assert int(headers["x-ratelimit-reset"]) > 1_700_000_000
    assert re.fullmatch(r'"[a-z]+";q=\d+;w=\d+(, "[a-z]+";q=\d+;w=\d+)?', headers["ratelimit-policy"])
    assert re.fullmatch(r'"[a-z]+";r=\d+;t=\d+(, "[a-z]+";r=\d+;t=\d+)?', headers["ratelimit"])
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["referrer-policy"] == "no-referrer"
    assert not api or headers["cache-control"] == "no-store"


def assert_envelope(answer: Answer, status: int, code: str, *, api: bool = True) -> dict[str, Any]:
    """The documented form of an error, and the headers beside it; returns its details."""
    assert (answer.status, answer.error["code"]) == (status, code), answer
    assert_headers(answer, api=api)
    assert answer.headers["content-type"] == JSON
    content = json.loads(answer.body)
    assert content.keys() == {"error", "request_id"}
    assert content["error"].keys() == {"code", "message", "details"}
    assert content["error"]["message"]
    assert content["request_id"] == answer.headers["x-request-id"]
    details: dict[str, Any] = content["error"]["details"]
    return details
