"""What is refused over HTTP is on record: by whom, from where, why, and how often."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import httpx
import pytest

from helix_ray.core.errors import ErrorCode, Refused, Rejected
from helix_ray.core.events import Fact, RequestsRefused
from helix_ray.core.orders import NoteRefusals, Order, Receipt, Refusal
from helix_ray.core.origin import Origin
from serve_app.refusals import SOURCES_WAITING_MAX, RefusalDesk
from tests.http.api_server import PASSWORD, TASK, Api, serving_api

RECORDED_S_MAX = 10.0


def refused(api: Api, count: int, kind: str) -> list[Fact]:
    """Return the refusals of a kind once there are as many: a replica notes them after it has answered."""
    end = time.monotonic() + RECORDED_S_MAX
    while True:
        facts = api.plane.engine.facts(0, 10_000).facts
        found = [f for f in facts if isinstance(f.event, RequestsRefused) and f.event.kind == kind]
        if len(found) >= count:
            return found
        assert time.monotonic() < end, found
        api.plane.react()


def event_of(fact: Fact) -> RequestsRefused:
    assert isinstance(fact.event, RequestsRefused)
    return fact.event


@pytest.fixture
def developer(api: Api) -> httpx.Client:
    """Give a developer, a new one each time."""
    return api.add(f"dev-{api.plane.engine.state.seq}", "developer")


def test_a_wrong_password_is_recorded_before_it_is_answered(api: Api) -> None:
    """By nobody, with the client's address and name. A name that is no account may be a password in the wrong
    field: it is recorded as a digest."""
    wrong = {"username": "no\x07body", "password": "wrong password"}
    answer = api.anonymous().post("/auth/login", json=wrong, headers={"User-Agent": "probe/1"})
    assert answer.status_code == 401
    (fact,) = refused(api, 1, "login")
    assert (fact.actor, fact.origin, fact.outcome) == (
        "anonymous", Origin("127.0.0.1", "", "probe/1"), "refused"
    )  # fmt: skip
    shown = api.plane.engine.sign_ins.shown(api.plane.engine.sign_ins.stranger("no\x07body"))
    assert event_of(fact) == RequestsRefused(shown, "login", "credentials")
    assert fact.request_id == answer.headers["x-request-id"]


def test_the_use_of_a_revoked_token_is_recorded_with_its_id() -> None:
    """Its text says nothing of whose it was."""
    with serving_api() as api:
        owner = api.add("owner", "developer")
        made = owner.post("/auth/tokens", json={"name": "ci"}).json()
        assert owner.delete(f"/auth/tokens/{made['id']}").status_code == 204
        used = api.anonymous().get("/tasks", headers={"Authorization": f"Bearer {made['token']}"})
        assert used.status_code == 401
        (fact,) = refused(api, 1, "token")
        assert (fact.actor, fact.origin.credential) == ("anonymous", made["id"])


def test_what_no_role_allows_is_recorded(api: Api, developer: httpx.Client) -> None:
    """By whom, with which session, and what they asked for."""
    before = len(refused(api, 0, "forbidden"))
    assert (
        developer.post("/users", json={"username": "x", "password": "y" * 12, "roles": ["admin"]}).status_code
        == 403
    )
    fact = refused(api, before + 1, "forbidden")[-1]
    assert fact.actor in api.plane.engine.state.users
    assert fact.origin.credential in api.plane.engine.state.sessions
    assert (event_of(fact).id, event_of(fact).reason) == ("CreateUser", "CreateUser")


def test_a_task_of_a_batch_that_no_role_allows_is_recorded(api: Api, developer: httpx.Client) -> None:
    """Though the request as a whole is carried out."""
    before = len(refused(api, 0, "forbidden"))
    secret = {**TASK, "type": "testing", "run": {"kind": "function", "function": "os:getcwd"}}
    answer = developer.post("/tasks/batch", json={"tasks": [TASK, secret]})
    assert (answer.json()["accepted"], answer.json()["rejected"]) == (1, 1)
    assert event_of(refused(api, before + 1, "forbidden")[-1]).id == "SubmitTasks"


@pytest.mark.parametrize("token", ["not a token", "a.b.c", "helix_pat_" + "x" * 36])
def test_a_token_that_is_none_is_recorded(api: Api, token: str) -> None:
    """By nobody; a second one from the same address is counted with the first."""
    before = {f.seq for f in refused(api, 0, "token")}
    watched = len(api.plane.engine.refusals)
    answer = api.anonymous().get("/tasks", headers={"Authorization": f"Bearer {token}"})
    assert answer.status_code == 401
    found = refused(api, 1, "token")
    assert {f.actor for f in found if f.seq not in before} <= {"anonymous"}
    assert len(api.plane.engine.refusals) <= watched + 1


def test_a_session_that_has_ended_is_recorded_as_its_users(api: Api) -> None:
    """Somebody may have stolen the token."""
    client = api.client()
    user_id = api.plane.engine.state.users_by_name["admin"]
    session = next(reversed(api.plane.engine.state.sessions))
    assert client.post("/auth/logout").status_code == 204
    assert client.get("/tasks").status_code == 401
    fact = refused(api, 2, "token")[-1]
    assert (fact.actor, fact.origin.credential, event_of(fact).reason) == (user_id, session, "logout")


def test_no_token_at_all_is_nothing_to_record(api: Api) -> None:
    """Nor is a wrong request."""
    before = api.plane.engine.state.seq
    assert api.anonymous().get("/tasks").status_code == 401
    assert api.client().post("/tasks", json={}).status_code == 400
    assert not [f for f in api.plane.engine.facts(before, 100).facts if isinstance(f.event, RequestsRefused)]


def test_a_late_report_is_recorded(api: Api) -> None:
    """By the worker's user, about the task."""
    worker = api.add("bot", "worker")
    task_id = api.submit(api.client(), type="building")
    worker.post("/workers/register", json={"hostname": "h", "capabilities": ["building"], "resources": {}})
    worker_id = next(w for w in api.plane.engine.state.workers)
    beat = worker.post("/workers/heartbeat", json={"worker_id": worker_id, "status": "idle"}).json()
    assert beat["assigned_task"] == task_id
    api.client().post(f"/tasks/{task_id}/cancel")
    late = worker.put(f"/tasks/{task_id}", json={"status": "completed", "attempt": beat["attempt"] + 7})
    assert late.status_code == 409
    (fact,) = refused(api, 1, "late_report")
    assert fact.actor == api.plane.engine.state.users_by_name["bot"]
    assert event_of(fact).id == task_id


class Slow:
    """A control plane that keeps every order until it is told to go on."""

    def __init__(self, answer: Any = None) -> None:
        self.taken: list[tuple[Refusal, ...]] = []
        self.go_on = asyncio.Event()
        self._answer = answer or Receipt(1, {})

    async def execute(self, order: Order) -> Any:
        assert isinstance(order.body, NoteRefusals)
        self.taken.append(order.body.refusals)
        await self.go_on.wait()
        return self._answer


def noted(number: int, address: str = "192.0.2.1") -> Refusal:
    return Refusal(
        "login",
        "credentials",
        f"name-{number}",
        author="anonymous",
        request_id="req-1",
        origin=Origin(address),
    )


def test_a_flood_costs_the_master_one_message_at_a_time() -> None:
    """What comes meanwhile travels in the next one, with a count for each source, in bounded memory."""

    async def go() -> None:
        plane = Slow()
        desk = RefusalDesk(plane)  # type: ignore[arg-type]
        desk.note(noted(0))
        await asyncio.sleep(0)
        for number in range(100):
            desk.note(noted(number))
        for number in range(SOURCES_WAITING_MAX + 500):
            desk.note(noted(number, f"a-{number}"))
        assert len(plane.taken) == 1
        plane.go_on.set()
        await desk.noted(noted(1, "the last"))
        second = plane.taken[1]
        assert len(second) == SOURCES_WAITING_MAX + 1
        assert sum(refusal.count for refusal in second) == 100 + SOURCES_WAITING_MAX + 500 + 1
        assert (second[0].count, second[-1].subject) == (100, "others")
        await desk.close()
        assert len(plane.taken) == 2

    asyncio.run(go())


def test_a_login_is_not_answered_as_wrong_while_that_cannot_be_recorded() -> None:
    """Whoever awaits the record hears why there is none."""

    async def go() -> None:
        plane = Slow(Rejected(ErrorCode.SERVICE_UNAVAILABLE, "full"))
        plane.go_on.set()
        desk = RefusalDesk(plane)  # type: ignore[arg-type]
        with pytest.raises(Refused):
            await desk.noted(noted(0))
        await desk.close()

    asyncio.run(go())


def test_the_users_own_refusal_is_theirs(api: Api) -> None:
    """A wrong present password is a failed login of somebody who is known."""
    wrong = {"current_password": "wrong password", "new_password": PASSWORD + "-2"}
    assert api.client().put("/auth/password", json=wrong).status_code == 403
    assert refused(api, 2, "login")[-1].actor == api.plane.engine.state.users_by_name["admin"]
