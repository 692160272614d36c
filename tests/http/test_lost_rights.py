"""Who loses a session or an account while an answer is on its way gets none of what comes after."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

import httpx
import pytest

from helix_ray.config import Settings
from helix_ray.core.access import Principal
from helix_ray.core.answers import Answer
from helix_ray.core.errors import Rejected
from helix_ray.core.orders import Order, Receipt
from helix_ray.core.questions import Question, ReadLog
from helix_ray.testing import MemoryControlPlane, memory_plane
from tests.http.api_server import PASSWORD, Api, error_of, serving_api
from tests.ray.signals import until

EVERY_S = 0.02


class Talkative:
    """A control plane on which every task prints a line every EVERY_S, and never ends."""

    def __init__(self, plane: MemoryControlPlane) -> None:
        self._plane = plane

    def __getattr__(self, name: str) -> Any:
        return getattr(self._plane, name)

    async def execute(self, order: Order) -> Receipt | Rejected:
        return await self._plane.execute(order)

    async def query(self, question: Question, by: Principal, wait_s: float = 0.0) -> Answer | Rejected:
        if not isinstance(question, ReadLog):
            return await self._plane.query(question, by, wait_s)
        await asyncio.sleep(EVERY_S)
        text = f"line {question.offset}\n"
        at = {"offset": question.offset, "next_offset": question.offset + len(text)}
        return {"attempt": 1, "text": text, "eof": False, "cut_bytes": 0, **at}


@pytest.mark.parametrize("loss", ["logout", "removed"])
def test_a_log_is_followed_no_further(loss: str, caplog: pytest.LogCaptureFixture) -> None:
    """The connection breaks off within the second that what a replica knows of a session is
    used; that is no failure."""
    plane = memory_plane(Settings(), PASSWORD, None)
    with serving_api(plane=plane, control=Talkative(plane)) as api:
        admin, reader = api.client(), api.add("reader", "viewer")
        url = f"/tasks/{api.submit(admin)}/logs"
        with pytest.raises(httpx.RemoteProtocolError):
            _follow(api, reader, url, loss)
        assert not caplog.records
        error_of(reader.get(url, params={"follow": "true"}), 401, "UNAUTHORIZED")


def _follow(api: Api, reader: httpx.Client, url: str, loss: str) -> None:
    """Read on for five seconds at most; the right to do so is lost after three pieces."""
    with reader.stream("GET", url, params={"follow": "true"}) as answer:
        for number, _ in zip(range(int(5 / EVERY_S)), answer.iter_raw(), strict=False):
            if number == 3:
                _lose(api, reader, loss)


def _lose(api: Api, reader: httpx.Client, loss: str) -> None:
    if loss == "logout":
        answer = api.anonymous().post("/auth/logout", headers=reader.headers)
    else:
        answer = api.client().delete("/users/reader")
    assert answer.status_code == 204, answer.text


def test_a_result_that_was_waited_for_is_not_given() -> None:
    """The session ends while the answer waits for the task: the answer says so, and holds no result."""
    with serving_api() as api:
        admin, other = api.client(), api.client()
        task_id = api.submit(admin)
        answers: list[httpx.Response] = []
        waiter = threading.Thread(
            target=lambda: answers.append(other.get(f"/tasks/{task_id}/result", params={"wait_s": 20}))
        )
        waiter.start()
        until(lambda: bool(api.plane._waiting))
        assert api.anonymous().post("/auth/logout", headers=other.headers).status_code == 204
        admin.put(f"/tasks/{task_id}", json={"status": "completed", "result": "secret"})
        waiter.join(15)
        error_of(answers[0], 401, "UNAUTHORIZED")
