"""Thousands of requests made from the live server's own documentation: no fault, every
answer in its documented form.

The checks are those of tests/http/test_fuzz.py, which asks the application alone; here the whole stack
answers: direct ingress, the plane, the master, the history. HELIX_FUZZ_LIVE_EXAMPLES (12; `make chaos`:
200) are drawn for each operation.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import httpx
import pytest
import requests
import schemathesis
from hypothesis import HealthCheck, Phase, settings
from schemathesis.specs.openapi.checks import negative_data_rejection

from tests.e2e.live import MASTER, NODE_WORKER, REPLICA, Live, add_user, function, serving, submit
from tests.http.test_access import DOCUMENT
from tests.http.test_fuzz import CHECKS, ENDING, envelope

# Taken when the module is imported: the tests themselves run without HELIX_ variables.
EXAMPLES = int(os.environ.get("HELIX_FUZZ_LIVE_EXAMPLES", "12"))
REQUESTS_MIN = 2_000
TIMEOUT_S = 30
LIMIT_HEADERS = (
    "x-ratelimit-limit",
    "x-ratelimit-remaining",
    "x-ratelimit-reset",
    "ratelimit",
    "ratelimit-policy",
)
# Each of these ends or makes a session, with a password's hash to be reckoned: few of them,
# and never the shared one.
COSTLY = ("/auth/login", "/auth/logout", "/auth/password", "/auth/sessions", "/users")
# A made-up shell line must not run on the machine that tests; an event stream must end by itself.
SETTINGS = {"command_roles": "nobody", "stream_s_max": "0.01"}
TASKS_OF_EACH = 50
# Logs in again for each request that may end a session: a user has a limited number of sessions.
LEAVER = "leaver"
TITLES = (MASTER, REPLICA, NODE_WORKER)


@dataclass
class Fuzzed:
    """The server under test, a session on it, what it knows, and what was answered so far."""

    live: Live
    connection: requests.Session
    token: str
    known: dict[str, list[str]]
    pids: list[int]
    statuses: Counter[int] = field(default_factory=Counter)


@pytest.fixture(scope="module")
def fuzzed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fuzzed]:
    with (
        serving(tmp_path_factory.mktemp("fuzz") / "data", **SETTINGS) as live,
        requests.Session() as connection,
    ):
        # Else it looks for a proxy in the environment before each request.
        connection.trust_env = False
        admin = live.client()
        add_user(admin, LEAVER, "admin")
        tasks = [function("add", 1, 1), function("fail", "on purpose"), {"title": "t", "type": "design"}]
        ids = submit(admin, *tasks * TASKS_OF_EACH)
        registered = admin.post(
            "/workers/register", json={"hostname": "h", "capabilities": ["planning"]}
        ).json()
        known = {"task_id": ids, "worker_id": [registered["worker_id"]]}
        pids = [live.pid(title) for title in TITLES]
        yield Fuzzed(live, connection, admin.headers["Authorization"], known, pids)


# Tests are made before any server runs; the first one below makes sure that it documents the same.
# pyproject.toml keeps it from being loaded for every run of pytest.
pytest_plugins = ("schemathesis.pytest.plugin",)
schema = schemathesis.openapi.from_dict(DOCUMENT)


def limits(context: Any, response: Any, case: Any) -> None:
    """Every answer says how many requests are left, in every form that is documented."""
    assert all(response.headers.get(name) for name in LIMIT_HEADERS)
    assert len(response.headers["x-request-id"]) == 1


def steer(fuzzed: Fuzzed, case: Any) -> bool:
    """Turn every second request at something that exists: what is made up alone meets
    404 and 409 all the time."""
    if fuzzed.statuses.total() % 2:
        return False
    for name in set(fuzzed.known) & set(case.path_parameters or {}):
        ids = fuzzed.known[name]
        case.path_parameters[name] = ids[fuzzed.statuses.total() // 2 % len(ids)]
    # A log that is followed, or a result that is waited for, ends with its task, which may be never.
    for name in ("follow", "wait_s") if case.query is not None else ():
        case.query.pop(name, None)
    if case.headers is not None:
        case.headers.pop("Idempotency-Key", None)
    tasks = case.body.get("tasks", [case.body]) if isinstance(case.body, dict) else []
    for task in tasks if isinstance(tasks, list) else []:
        if isinstance(task, dict) and "title" in task and isinstance(task.get("type"), str):
            task["type"] = "building"
    return True


def ask(fuzzed: Fuzzed, case: Any) -> None:
    """Send one request and check its answer."""
    token, steered = fuzzed.token, steer(fuzzed, case)
    if (case.method, case.path) in ENDING:
        token = fuzzed.live.client(LEAVER, f"password of {LEAVER}").headers["Authorization"]
    answer = case.call(
        base_url=fuzzed.live.url,
        session=fuzzed.connection,
        headers={"Authorization": token},
        timeout=TIMEOUT_S,
    )
    fuzzed.statuses[answer.status_code] += 1
    checks = [*CHECKS, envelope, limits]
    if steered or case.method == "GET" or answer.status_code == 413 or case.path.endswith("/batch"):
        # A query is text: the number 0 or a list of one where a word belongs is a word on the wire. A size is
        # a refusal too; and of a batch each task is refused by itself, in the answer.
        checks.remove(negative_data_rejection)
    case.validate_response(answer, checks=checks)


def fuzz(examples: int) -> Any:
    """Return the settings of a run: the same requests every time."""
    return settings(
        max_examples=examples,
        deadline=None,
        derandomize=True,
        database=None,
        phases=[Phase.explicit, Phase.generate],
        suppress_health_check=list(HealthCheck),
    )


def test_the_live_document_is_the_one_that_requests_are_made_from(fuzzed: Fuzzed) -> None:
    """/openapi.json of the server under test, word for word."""
    assert httpx.get(f"{fuzzed.live.url}/openapi.json", timeout=60).json() == DOCUMENT


@schema.exclude(path_regex="|".join(COSTLY)).parametrize()
@fuzz(EXAMPLES)
def test_every_answer_has_its_documented_form(case: Any, fuzzed: Fuzzed) -> None:
    """No 5xx, no undocumented status, header or body, for valid and for invalid requests."""
    ask(fuzzed, case)


@schema.include(path_regex="|".join(COSTLY)).parametrize()
@fuzz(5)
def test_so_have_the_answers_about_sessions_and_users(case: Any, fuzzed: Fuzzed) -> None:
    """The same, with few requests: each costs a password's hash."""
    ask(fuzzed, case)


def test_nothing_was_hurt(fuzzed: Fuzzed, record_property: Callable[[str, object], None]) -> None:
    """After thousands of requests no process has died, and a task runs as before."""
    record_property("statuses", dict(fuzzed.statuses))
    print(fuzzed.statuses)
    assert fuzzed.statuses.total() >= REQUESTS_MIN
    # The shared session lives: else what followed its end would only have been answered 401.
    headers = {"Authorization": fuzzed.token}
    assert httpx.get(f"{fuzzed.live.url}/api/v1/auth/me", headers=headers, timeout=60).is_success
    assert not [status for status in fuzzed.statuses if status >= 500]
    assert [fuzzed.live.pid(title) for title in TITLES] == fuzzed.pids
    client = fuzzed.live.client()
    (task_id,) = submit(client, function("add", 2, 3, priority="critical"))
    assert client.get(f"/tasks/{task_id}/logs", params={"follow": "true"}).status_code == 200
    assert client.get(f"/tasks/{task_id}/result").json()["result"]["value"] == 5
