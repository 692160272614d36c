"""Many tasks in one request: each by itself, in order, quickly."""

from __future__ import annotations

import time
from typing import Any

import httpx

from helix_ray.config import Settings
from helix_ray.core.errors import ErrorCode, Rejected
from helix_ray.core.orders import Order, Receipt, SubmitTasks
from helix_ray.testing import MemoryControlPlane, memory_plane
from helix_ray.wire.task_answers import BatchOut
from serve_app.routes.batch import ORDER_TASKS_MAX
from tests.http.api_server import PASSWORD, TASK, Api, error_of, serving_api
from tests.http.shapes import shaped


def send(client: httpx.Client, tasks: list[Any], **headers: str) -> dict[str, Any]:
    answer = client.post("/tasks/batch", json={"tasks": tasks}, headers=headers)
    assert answer.status_code in (200, 201), answer.text
    content: dict[str, Any] = answer.json()
    shaped(BatchOut, content)
    assert len(content["tasks"]) == len(tasks)
    assert content["accepted"] + content["rejected"] == len(tasks)
    return content


def test_good_and_bad_ones_are_told_apart_in_order(admin: httpx.Client) -> None:
    content = send(
        admin,
        [
            {**TASK, "title": "first"},
            {**TASK, "priority": "urgent"},
            "not a task",
            {**TASK, "type": "cooking"},
            {**TASK, "title": "last"},
        ],
    )
    assert (content["accepted"], content["rejected"]) == (2, 3)
    first, urgent, text, cooking, last = content["tasks"]
    assert (first["title"], last["title"]) == ("first", "last")
    assert admin.get(f"/tasks/{last['id']}").json()["title"] == "last"
    assert urgent["error"]["message"] == "Invalid task priority"
    assert text["error"]["code"] == cooking["error"]["code"] == "VALIDATION_ERROR"
    assert "planning" in cooking["error"]["details"]["allowed_values"]


def test_nothing_accepted_is_200_and_changes_nothing(api: Api, admin: httpx.Client) -> None:
    before = api.plane.engine.state.seq
    answer = admin.post("/tasks/batch", json={"tasks": [{}, {"title": 1}]})
    assert answer.status_code == 200
    assert api.plane.engine.state.seq == before


def test_tasks_of_a_batch_may_name_each_other(admin: httpx.Client) -> None:
    """Numbers count what was sent, also where something before them is refused; what
    hangs on it falls with it."""
    content = send(
        admin,
        [
            {**TASK, "title": ""},
            {**TASK, "title": "root"},
            {**TASK, "title": "leaf", "depends_on": ["#1"]},
            {**TASK, "title": "lost", "depends_on": ["#0"]},
            {**TASK, "title": "ring", "depends_on": ["#5"]},
            {**TASK, "title": "ring", "depends_on": ["#4"]},
        ],
    )
    entries = content["tasks"]
    assert [("error" in entry) for entry in entries] == [True, False, False, True, True, True]
    assert (entries[1]["status"], entries[2]["status"]) == ("pending", "waiting")
    assert admin.get(f"/tasks/{entries[2]['id']}").json()["waits_for"] == [entries[1]["id"]]


def test_a_batch_that_is_no_batch_is_refused(admin: httpx.Client) -> None:
    for body in ([], {}, {"tasks": None}, {"tasks": []}, {"tasks": {}}, {"tasks": [TASK], "x": 1}):
        error_of(admin.post("/tasks/batch", json=body), 400, "VALIDATION_ERROR")
    error = error_of(admin.post("/tasks/batch", json={"tasks": [TASK] * 10_001}), 400, "VALIDATION_ERROR")
    assert error["details"]["tasks_max"] == 10_000


def test_ten_thousand_tasks_go_in_at_once(api: Api, admin: httpx.Client) -> None:
    """Each has an id of its own; a generous bound on the time catches a quadratic step."""
    before = len(api.plane.engine.state.tasks)
    start = time.process_time()
    content = send(admin, [{**TASK, "title": str(i)} for i in range(10_000)])
    assert time.process_time() - start < 10
    assert len({task["id"] for task in content["tasks"]}) == 10_000
    assert [task["title"] for task in content["tasks"]] == [str(i) for i in range(10_000)]
    assert len(api.plane.engine.state.tasks) == before + 10_000


class TestKeys:
    def test_a_repeated_batch_gets_the_first_answer(self, api: Api, admin: httpx.Client) -> None:
        tasks = [{**TASK, "title": str(i)} for i in range(2 * ORDER_TASKS_MAX + 1)]
        first = admin.post("/tasks/batch", json={"tasks": tasks}, headers={"Idempotency-Key": "b1"})
        count = len(api.plane.engine.state.tasks)
        again = admin.post("/tasks/batch", json={"tasks": tasks}, headers={"Idempotency-Key": "b1"})
        assert again.json() == first.json()
        assert "idempotency-replayed" not in first.headers
        assert again.headers["idempotency-replayed"] == "true"
        assert len(api.plane.engine.state.tasks) == count

    def test_another_batch_under_the_key_is_a_conflict_and_changes_nothing(
        self, api: Api, admin: httpx.Client
    ) -> None:
        send(admin, [TASK], **{"Idempotency-Key": "b2"})
        before = api.plane.engine.state.seq
        answer = admin.post("/tasks/batch", json={"tasks": [TASK] * 1_200}, headers={"Idempotency-Key": "b2"})
        error_of(answer, 409, "CONFLICT")
        assert api.plane.engine.state.seq == before

    def test_the_key_of_a_part_is_no_client_key(self, api: Api, admin: httpx.Client) -> None:
        """A key that looks like a part of another's is another key."""
        send(admin, [TASK] * (ORDER_TASKS_MAX + 1), **{"Idempotency-Key": "b3"})
        for key in ("b31", "b3#1", "b3 1"):
            answer = admin.post("/tasks", json=TASK, headers={"Idempotency-Key": key})
            assert answer.status_code == 201
            assert "idempotency-replayed" not in answer.headers


class Unreliable(MemoryControlPlane):
    """Refuses whole orders, as a queue that is full does."""

    refusals = 0

    async def execute(self, order: Order) -> Receipt | Rejected:
        if isinstance(order.body, SubmitTasks) and self.refusals > 0:
            self.refusals -= 1
            return Rejected(ErrorCode.RATE_LIMIT_EXCEEDED, "The queue is full", {"retry_after_s": 5})
        return await super().execute(order)


def test_a_refused_part_is_told_for_its_tasks_and_a_retry_completes_the_batch() -> None:
    settings = Settings()
    plane = Unreliable(settings.policy())
    plane.engine = memory_plane(settings, PASSWORD).engine
    with serving_api(settings, plane=plane) as api:
        client = api.client()
        tasks = [TASK] * (ORDER_TASKS_MAX + 10)
        plane.refusals = 1
        content = send(client, tasks, **{"Idempotency-Key": "k"})
        assert (content["accepted"], content["rejected"]) == (10, ORDER_TASKS_MAX)
        assert content["tasks"][0]["error"]["code"] == "RATE_LIMIT_EXCEEDED"
        again = send(client, tasks, **{"Idempotency-Key": "k"})
        assert again["accepted"] == len(tasks)
        assert again["tasks"][-10:] == content["tasks"][-10:]
        plane.refusals = 1
        answer = client.post("/tasks/batch", json={"tasks": [TASK]})
        error_of(answer, 429, "RATE_LIMIT_EXCEEDED")
        assert answer.headers["retry-after"] == "5"
