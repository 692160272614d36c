"""The rate limits of a live server: never one more, whoever the caller says to be and whatever dies meanwhile."""

from __future__ import annotations

import itertools
import os
import signal
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest

from tests.e2e.live import LENDER, Live, add_user, error_of, serving
from tests.ray.signals import until

UNAUTHENTICATED, AUTHENTICATED = 30, 50
WINDOW_S = 3600
CALLERS = 4
SETTINGS = {"rate_limit_unauthenticated": UNAUTHENTICATED, "rate_limit_authenticated": AUTHENTICATED}
BUSY = 503


@pytest.fixture
def live(tmp_path: Path) -> Iterator[Live]:
    with serving(tmp_path / "data", **SETTINGS) as server:
        yield server


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


def test_never_one_more_than_the_limits_allow(live: Live) -> None:
    """Exactly the limit is admitted, for an address and for each user; then 429, with headers and Retry-After."""
    admin = live.client()  # one request of this address
    other = add_user(admin, "other", "viewer")  # one of the administrator
    theirs = live.client("other", other)  # another one of this address
    assert flood(admin, 2 * AUTHENTICATED) == {200: AUTHENTICATED - 1, 429: AUTHENTICATED + 1}
    assert flood(theirs, 2 * AUTHENTICATED) == {200: AUTHENTICATED, 429: AUTHENTICATED}
    assert flood(live.anonymous(), 2 * UNAUTHENTICATED) == {401: UNAUTHENTICATED - 2, 429: UNAUTHENTICATED + 2}
    check_refusal(ask(admin), "authenticated", AUTHENTICATED)
    check_refusal(ask(live.anonymous()), "anonymous", UNAUTHENTICATED)
    refused = live.anonymous().post("/auth/login", json={"username": "admin", "password": "wrong"})
    check_refusal(refused, "anonymous", UNAUTHENTICATED)
    health = httpx.get(f"{live.url}/healthz")
    assert health.status_code == 200
    assert int(health.headers["x-ratelimit-limit"]) == UNAUTHENTICATED


def test_a_killed_lender_forgets_nothing(live: Live) -> None:
    """Killed between requests it costs none; killed under requests it admits at most the limit; its counts go on."""
    admin, anonymous = live.client(), live.anonymous()
    admitted = flood(anonymous, 10)
    assert admitted == {401: 10}
    dead = live.kill(LENDER)
    with ThreadPoolExecutor(1) as pool:
        flooded = pool.submit(flood, anonymous, 2 * UNAUTHENTICATED)
        dead = live.pid(LENDER, other_than=dead)
        os.kill(dead, signal.SIGKILL)
        admitted += flooded.result()
    # Counted, but killed before the answer: such a request was not admitted and is lost for the window.
    assert UNAUTHENTICATED - 1 - CALLERS <= admitted[401] <= UNAUTHENTICATED - 1
    assert admitted.total() == 10 + 2 * UNAUTHENTICATED
    check_refusal(ask(anonymous), "anonymous", UNAUTHENTICATED)
    assert live.pid(LENDER, other_than=dead) != dead
    assert flood(admin, 2 * AUTHENTICATED)[200] <= AUTHENTICATED


def test_a_restarted_server_goes_on_counting(tmp_path: Path) -> None:
    """The counts are in the data directory: starting again gives nobody a fresh hour."""
    for admitted in (12, UNAUTHENTICATED - 12):
        with serving(tmp_path / "data", **SETTINGS) as live:
            anonymous = live.anonymous()
            answers = itertools.takewhile(lambda code: code == 401, (ask(anonymous).status_code for _ in range(100)))
            assert sum(1 for _ in itertools.islice(answers, admitted)) == admitted
            until(lambda: live.process.poll() is None)
    assert admitted == UNAUTHENTICATED - 12
