"""GET /tasks/{id}/result?wait_s= answers as soon as the task ends."""

from __future__ import annotations

import threading

import httpx
import pytest

from tests.http.api_server import Api, error_of


def test_a_result_is_waited_for(api: Api, admin: httpx.Client) -> None:
    """A task that ends while its result is waited for is answered then, and not at the end of the wait."""
    task_id = api.submit(admin)
    answers: list[httpx.Response] = []
    waiter = threading.Thread(
        target=lambda: answers.append(admin.get(f"/tasks/{task_id}/result", params={"wait_s": 20}))
    )
    waiter.start()
    assert admin.put(f"/tasks/{task_id}", json={"status": "completed", "result": 7}).status_code == 200
    waiter.join(15)
    assert answers[0].json()["result"] == 7


def test_a_wait_that_ends_first_is_a_conflict(api: Api, admin: httpx.Client) -> None:
    """After the wait an unfinished task has no result, as without one."""
    error_of(admin.get(f"/tasks/{api.submit(admin)}/result", params={"wait_s": 0.05}), 409, "CONFLICT")


@pytest.mark.parametrize("wait_s", ["-1", "26", "nan", "soon"])
def test_a_wait_has_bounds(api: Api, admin: httpx.Client, wait_s: str) -> None:
    """Waits are 0 to 25 seconds."""
    error_of(
        admin.get(f"/tasks/{api.submit(admin)}/result", params={"wait_s": wait_s}), 400, "VALIDATION_ERROR"
    )
