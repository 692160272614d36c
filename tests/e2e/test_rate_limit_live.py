"""The rate limits of a live server: never one more, whoever the caller says to be and
whatever dies meanwhile."""

from __future__ import annotations

import os
import signal
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx

from tests.conftest import ADMIN_PASSWORD
from tests.e2e.live import SUPERVISOR, Live, add_user, error_of, serving

UNAUTHENTICATED, AUTHENTICATED = 30, 50
WINDOW_S = 3600
CALLERS = 4
SETTINGS = {"rate_limit_unauthenticated": UNAUTHENTICATED, "rate_limit_authenticated": AUTHENTICATED}
BUSY = 503


def spoofed(number: int) -> dict[str, str]:
    """Return headers that claim another client address each time."""
    address = f"203.0.113.{number % 250}"
    return {"X-Forwarded-For": address, "Forwarded": f"for={address}", "X-Real-IP": address}


def ask(client: httpx.Client, number: int = 0) -> httpx.Response:
    """Ask for the tasks, again as long as the answer is that requests cannot be counted now."""
    while True:
        answer = client.get("/tasks", headers=spoofed(number))
        if answer.status_code != BUSY:
            return answer
        assert int(answer.headers["retry-after"]) >= 1


def flood(client: httpx.Client, requests: int) -> Counter[int]:
    """Send requests from several threads at once; count the answers by status."""
    with ThreadPoolExecutor(CALLERS) as pool:
        return Counter(answer.status_code for answer in pool.map(lambda n: ask(client, n), range(requests)))


def check_refusal(answer: httpx.Response, policy: str, limit: int) -> None:
    """A refusal is the documented error with every header that says when to come back."""
    details = error_of(answer, 429, "RATE_LIMIT_EXCEEDED")
    assert (details["policy"], details["limit"]) == (policy, limit)
    wait_s = int(answer.headers["retry-after"])
    assert 0 < wait_s <= WINDOW_S + 60
    assert int(answer.headers["x-ratelimit-limit"]) == limit
    assert int(answer.headers["x-ratelimit-remaining"]) == 0
    assert time.time() < int(answer.headers["x-ratelimit-reset"]) <= time.time() + WINDOW_S + 60


def test_never_one_more_than_the_limits_allow(tmp_path: Path) -> None:
    """Exactly the limit is admitted, for an address and for each user; then 429, also after
    a restart of everything."""
    with serving(tmp_path / "data", **SETTINGS) as live:
        admin = live.client()  # one request of this address
        password = add_user(admin, "other", "viewer")  # one of the administrator
        other = live.client("other", password)  # another one of this address
        assert flood(admin, 2 * AUTHENTICATED) == {200: AUTHENTICATED - 1, 429: AUTHENTICATED + 1}
        assert flood(other, 2 * AUTHENTICATED) == {200: AUTHENTICATED, 429: AUTHENTICATED}
        admitted = UNAUTHENTICATED - 2
        assert flood(live.anonymous(), 2 * UNAUTHENTICATED) == {401: admitted, 429: UNAUTHENTICATED + 2}
        check_refusals(live, admin)
        health = httpx.get(f"{live.url}/healthz", timeout=60)
        assert health.status_code == 200
        assert int(health.headers["x-ratelimit-limit"]) == UNAUTHENTICATED
    with serving(tmp_path / "data", **SETTINGS) as live:
        again = live.anonymous()
        again.headers["Authorization"] = admin.headers["Authorization"]
        check_refusals(live, again)


def check_refusals(live: Live, admin: httpx.Client) -> None:
    """Who has used up their requests is refused on every path; logging in does not help."""
    check_refusal(ask(admin), "authenticated", AUTHENTICATED)
    check_refusal(ask(live.anonymous()), "anonymous", UNAUTHENTICATED)
    check_refusal(live.anonymous().get("/nowhere"), "anonymous", UNAUTHENTICATED)
    login = live.anonymous().post("/auth/login", json={"username": "admin", "password": ADMIN_PASSWORD})
    check_refusal(login, "anonymous", UNAUTHENTICATED)


def test_a_killed_quota_server_forgets_nothing(tmp_path: Path) -> None:
    """Killed between requests it costs none; killed under requests it admits at most the limit."""
    with serving(tmp_path / "data", **SETTINGS) as live:
        admin, anonymous = live.client(), live.anonymous()
        admitted = flood(anonymous, 10)
        assert admitted == {401: 10}
        dead = live.kill(SUPERVISOR)
        with ThreadPoolExecutor(1) as pool:
            flooded = pool.submit(flood, anonymous, 2 * UNAUTHENTICATED)
            dead = live.pid(SUPERVISOR, other_than=dead)
            os.kill(dead, signal.SIGKILL)
            admitted += flooded.result()
        # A request that was counted, and whose quota server was killed before it answered,
        # is lost for the window.
        assert UNAUTHENTICATED - 1 - CALLERS <= admitted[401] <= UNAUTHENTICATED - 1
        assert admitted.total() == 10 + 2 * UNAUTHENTICATED
        check_refusal(ask(anonymous), "anonymous", UNAUTHENTICATED)
        live.pid(SUPERVISOR, other_than=dead)
        assert flood(admin, 2 * AUTHENTICATED) == {200: AUTHENTICATED, 429: AUTHENTICATED}
