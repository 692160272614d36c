"""Pages of other origins: none may read responses, unless its origin is listed, whole."""

from __future__ import annotations

import asyncio
from typing import Any

import httpx
import pytest
from pydantic import ValidationError

from helix_ray.environment import read_settings
from helix_ray.security.tokens import KeyRing, TokenIssuer
from serve_app.edge.limiter import LeasingLimiter, grant_here
from serve_app.edge.stack import wrap
from tests.http.api_server import PLENTY

PAGE = "https://app.example.com"
ASKS = {"access-control-request-method": "PUT", "access-control-request-headers": "authorization"}


async def hello(scope: Any, receive: Any, send: Any) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": [(b"x-helix-seq", b"7")]})
    await send({"type": "http.response.body", "body": b"{}"})


def ask(method: str, origins: tuple[str, ...], **headers: str) -> httpx.Response:
    """Send one request through the edge."""

    async def scene() -> httpx.Response:
        limiter = LeasingLimiter(PLENTY, grant_here(PLENTY))
        app = wrap(hello, limiter=limiter, verifier=TokenIssuer(KeyRing.fresh()), cors_origins=origins)
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://test") as client:
            answer = await client.request(method, "/api/v1/tasks", headers=headers)
        await limiter.close()
        return answer

    return asyncio.run(scene())


def told(answer: httpx.Response) -> set[str]:
    return {name for name in answer.headers if name.startswith("access-control-")}


@pytest.mark.parametrize("method", ["GET", "OPTIONS"])
def test_nobody_is_told_anything_by_default(method: str) -> None:
    answer = ask(method, (), origin=PAGE, **ASKS)
    assert (answer.status_code, told(answer), "vary" in answer.headers) == (200, set(), False)


def test_a_listed_origin_reads_responses() -> None:
    """It is named itself, never `*`, and no credentials are allowed; caches keep responses apart."""
    answer = ask("GET", ("http://localhost:3000", PAGE), origin=PAGE)
    assert answer.headers["access-control-allow-origin"] == PAGE
    assert "X-Helix-Seq" in answer.headers["access-control-expose-headers"]
    assert answer.headers["vary"] == "Origin"
    assert "access-control-allow-credentials" not in answer.headers


def test_a_preflight_is_answered_at_the_edge() -> None:
    """Without reaching the application, with the headers of every response, and without being counted."""
    answer = ask("OPTIONS", (PAGE,), origin=PAGE, **ASKS)
    assert (answer.status_code, answer.content) == (204, b"")
    assert "PUT" in answer.headers["access-control-allow-methods"]
    assert "Authorization" in answer.headers["access-control-allow-headers"]
    assert "x-helix-seq" not in answer.headers
    assert answer.headers["x-request-id"].startswith("req-")
    assert answer.headers["x-ratelimit-remaining"] == answer.headers["x-ratelimit-limit"]


@pytest.mark.parametrize(
    "origin",
    ["https://app.example.com.evil.org", "http://app.example.com", "https://app.example.com:8443", "null",
     "https://APP.example.com", "https://evil.org/https://app.example.com", ""],
)  # fmt: skip
def test_other_origins_are_told_nothing(origin: str) -> None:
    """Also those that look alike; their preflight goes the way of any other request."""
    for method in ("GET", "OPTIONS"):
        answer = ask(method, (PAGE,), origin=origin, **ASKS)
        assert (answer.status_code, told(answer), answer.headers["vary"]) == (200, set(), "Origin")


@pytest.mark.parametrize(
    "value", ["*", "app.example.com", "https://a.org/path", "https://A.org", "null", "ftp://a.org"]
)
def test_what_is_no_origin_is_refused(value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HELIX_CORS_ORIGINS", value)
    with pytest.raises(ValidationError):
        read_settings()
