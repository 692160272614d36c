"""Failed sign-ins: how they slow down the next ones, whom they do not stop, and what is recorded of them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from helix_ray.config import Settings
from helix_ray.core.events import RequestsRefused, SessionOpened
from helix_ray.security.tokens import KeyRing
from helix_ray.testing import ManualClock, add_user
from tests.http.api_server import PASSWORD, Api, error_of, serving_api

FREE = 3
HOME = "192.0.2.1"
# What differs between two answers whatever was asked: they have a number and a time, and are counted.
OF_EACH_ANSWER = {"x-request-id", "date", "x-ratelimit-remaining", "x-ratelimit-reset", "ratelimit"}


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def door(clock: ManualClock) -> Iterator[Api]:
    """Give an API with few free failures, whose clients say where they are."""
    settings = Settings(sign_in_failures_max=FREE, trusted_proxies="127.0.0.1")
    with serving_api(settings, clock=clock) as api:
        add_user(api.plane, "dora", PASSWORD, ["developer"])
        yield api


def attempt(api: Api, username: str, password: str = "not that one", address: str = HOME) -> httpx.Response:
    """Try to sign in from an address."""
    body = {"username": username, "password": password}
    return api.anonymous().post("/auth/login", json=body, headers={"X-Forwarded-For": address})


def told(answer: httpx.Response) -> tuple[int, Any, dict[str, str]]:
    """Return what an answer tells: its status, error and headers."""
    headers = {name: value for name, value in answer.headers.items() if name not in OF_EACH_ANSWER}
    return answer.status_code, answer.json()["error"], headers


def test_failures_slow_down_an_account_at_their_address_only(door: Api, clock: ManualClock) -> None:
    """After the free ones each try must wait twice as long, the right password too; it says how long. Another
    account and another address go on, and a sign-in begins anew."""
    for wait_s in (0, 0, 0, 1, 2, 4):
        if wait_s:
            error = error_of(attempt(door, "dora", PASSWORD), 429, "RATE_LIMIT_EXCEEDED")
            assert error["details"] == {"reason": "backoff", "retry_after_s": wait_s}
            assert attempt(door, "Dora").headers["retry-after"] == str(wait_s)
            clock.advance(wait_s)
        error_of(attempt(door, "dora"), 401, "UNAUTHORIZED")
    assert attempt(door, "admin", PASSWORD).status_code == 200
    assert attempt(door, "dora", PASSWORD, "192.0.2.2").status_code == 200
    clock.advance(8)
    assert attempt(door, "dora", PASSWORD).status_code == 200
    error_of(attempt(door, "dora"), 401, "UNAUTHORIZED")


def test_guessing_from_many_addresses_does_not_keep_the_owner_out(door: Api) -> None:
    """At an address from which somebody has signed in, the right password is all it takes."""
    assert attempt(door, "dora", PASSWORD).status_code == 200
    for number in range(10 * FREE):
        error_of(attempt(door, "dora", address=f"198.51.100.{number}"), 401, "UNAUTHORIZED")
    error_of(attempt(door, "dora", PASSWORD, "203.0.113.9"), 429, "RATE_LIMIT_EXCEEDED")
    assert attempt(door, "dora", PASSWORD).status_code == 200


def test_an_ipv6_client_is_counted_by_its_network_and_recorded_as_itself(door: Api) -> None:
    """Another address of the same /64 goes on where the first one was; the audit and the user's own sessions
    name the address."""
    for number in range(FREE):
        error_of(attempt(door, "dora", address=f"2001:DB8::{number}"), 401, "UNAUTHORIZED")
    error_of(attempt(door, "dora", PASSWORD, "2001:db8::ffff"), 429, "RATE_LIMIT_EXCEEDED")
    assert attempt(door, "dora", PASSWORD, "2001:db8:0:1::7").status_code == 200
    facts = door.plane.engine.facts(0, 1 << 20).facts
    assert [fact.origin.address for fact in facts if isinstance(fact.event, RequestsRefused)] == [
        "2001:db8::"
    ]
    session = next(fact.event.id for fact in facts if isinstance(fact.event, SessionOpened))
    assert door.plane.engine.state.sessions[session].address == "2001:db8:0:1::7"


def test_whether_an_account_exists_cannot_be_told(door: Api) -> None:
    """Status, error and headers are the same for a user and for a name that is none, before and in the wait,
    where somebody has signed in and elsewhere, and in each way to be wrong."""
    assert attempt(door, "admin", PASSWORD, HOME).status_code == 200
    names = ("dora", "nora")
    for number in range(12 * FREE):
        address = HOME if number < 2 * FREE else f"198.51.100.{number}"
        password = ("x" * 300, "not that one", "\u00e4")[number % 3]
        answers = [told(attempt(door, name, password, address)) for name in names]
        assert answers[0] == answers[1]
        assert answers[0][0] == (429 if FREE <= number < 2 * FREE or number >= 2 * FREE + 10 * FREE else 401)


def test_a_failure_at_one_replica_counts_at_the_others(clock: ManualClock) -> None:
    settings, keys = Settings(sign_in_failures_max=FREE), KeyRing.fresh()
    with (
        serving_api(settings, clock=clock, keys=keys) as one,
        serving_api(settings, keys=keys, plane=one.plane) as two,
    ):
        for _ in range(FREE):
            error_of(attempt(one, "admin"), 401, "UNAUTHORIZED")
        error_of(attempt(two, "admin", PASSWORD), 429, "RATE_LIMIT_EXCEEDED")


def test_a_stolen_session_guesses_no_faster(door: Api) -> None:
    """The present password, when it is changed, is counted with the sign-ins of its user."""
    client = door.client("dora")
    change = {"current_password": "not that one", "new_password": "another password"}
    for _ in range(FREE):
        error_of(client.put("/auth/password", json=change), 403, "FORBIDDEN")
    error = error_of(
        client.put("/auth/password", json={**change, "current_password": PASSWORD}),
        429,
        "RATE_LIMIT_EXCEEDED",
    )
    assert error["details"]["reason"] == "backoff"


def test_a_typed_name_that_is_no_account_is_not_recorded(door: Api) -> None:
    """People type passwords into the field of the name. The same one is recognised, an account is named as it
    is spelled, and the typed text is in no fact."""
    for name in ("Tr0ub4dor&3", "DORA", "tr0ub4dor&3", "another"):
        attempt(door, name, address=f"198.51.100.{len(name)}")
    facts = door.plane.engine.facts(0, 10_000).facts
    seen = [fact.event for fact in facts if isinstance(fact.event, RequestsRefused)]
    first, dora, another = (event.id for event in seen)
    assert (first[:8], dora, another[:8], first == another) == ("unknown-", "dora", "unknown-", False)
    door.plane.engine.refusals.end()
    door.plane.react()
    assert "tr0ub4dor" not in repr(door.plane.engine.facts(0, 10_000)).casefold()
