"""The client's verbs against a server of a few lines that keeps what it was told."""

from __future__ import annotations

import base64
import io
from collections.abc import Iterator
from typing import Any

import httpx
import numpy as np
import orjson
import pytest

from helix_ray.client import Client, HelixError, Retries, runs
from helix_ray.client import waiting as waiting_module
from helix_ray.client.errors import NotFound, WaitTimeout
from tests.unit.client.wire import served

CREATED = "2025-11-07T10:00:00Z"


class Server:
    """Tasks in order of their submit; each ends after it was looked at `looks` times."""

    def __init__(self, looks: int = 0) -> None:
        self.tasks: dict[str, dict[str, Any]] = {}
        self.looks = looks
        self.requests: list[tuple[str, str, Any]] = []

    def client(self) -> Client:
        http = served(self.answer)
        return Client("http://h", "token", http=http, retries=Retries(total_s_max=0))

    def answer(self, request: httpx.Request) -> httpx.Response:
        path = request.url.path.removeprefix("/api/v1")
        body = orjson.loads(request.content) if request.content else None
        self.requests.append((request.method, path, body))
        if request.method == "POST" and path == "/tasks":
            return httpx.Response(201, json=self.add(body))
        if path == "/tasks/batch":
            return httpx.Response(200, json={"tasks": [self.add(task) for task in body["tasks"]]})
        if path == "/tasks":
            return httpx.Response(200, json=self.page(request.url.params))
        if request.method == "GET" and path.removeprefix("/tasks/") in self.tasks:
            return httpx.Response(200, json=self.seen(self.tasks[path.removeprefix("/tasks/")]))
        error = {"code": "NOT_FOUND", "message": "Task not found", "details": {}}
        return httpx.Response(404, json={"error": error, "request_id": "req-1"})

    def add(self, body: dict[str, Any]) -> dict[str, Any]:
        task = {
            **body,
            "id": f"task-{len(self.tasks)}",
            "status": "running",
            "created_at": CREATED,
            "looks": 0,
        }
        self.tasks[task["id"]] = task
        return task

    def seen(self, task: dict[str, Any]) -> dict[str, Any]:
        task["looks"] += 1
        if task["looks"] > self.looks:
            task["status"] = "completed"
        return task

    def page(self, params: httpx.QueryParams) -> dict[str, Any]:
        offset, limit = int(params["offset"]), int(params["limit"])
        newest = [self.seen(task) for task in reversed(self.tasks.values())]
        shown = newest[offset : offset + limit]
        return {"tasks": shown, "total": len(newest), "limit": limit, "offset": offset}


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Poll without pauses worth the name."""
    monkeypatch.setattr(waiting_module, "POLL_S_MIN", 0.0001)
    return


def test_submit_sends_the_given_fields_only() -> None:
    """What was not given is not sent, so the server's defaults hold."""
    server = Server()
    server.client().submit("T", run=runs.command("make"), priority=None, labels={"a": "b"})
    sent = {
        "title": "T",
        "type": "building",
        "labels": {"a": "b"},
        "run": {"kind": "command", "shell": "make"},
    }
    assert server.requests == [("POST", "/tasks", sent)]


def test_a_batch_over_the_limit_goes_out_in_parts() -> None:
    """25,000 tasks are three requests, and their answers come in order."""
    server = Server()
    answers = server.client().submit_batch({"title": str(i), "type": "testing"} for i in range(25_000))
    assert [len(body["tasks"]) for _, _, body in server.requests] == [10_000, 10_000, 5_000]
    assert [answer["title"] for answer in answers] == [str(i) for i in range(25_000)]


def test_list_goes_through_every_page() -> None:
    """The iterator gives all tasks, newest first, in pages of the size asked for."""
    server = Server()
    client = server.client()
    for i in range(25):
        client.submit(str(i))
    assert [task["title"] for task in client.list(page_tasks=10)] == [str(i) for i in reversed(range(25))]


def test_list_does_not_repeat_tasks_when_pages_move() -> None:
    """Tasks submitted between two pages push others over the edge; those are given once."""
    server = Server()
    client = server.client()
    for i in range(20):
        client.submit(str(i))
    seen = []
    for task in client.list(page_tasks=10):
        if not seen:
            client.submit("late")
        seen.append(task["title"])
    assert sorted(seen, key=int) == [str(i) for i in range(20)]


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize("count", [1, 5, 6, 40])
def test_wait_sees_every_task_end(count: int) -> None:
    """A wait returns all tasks by id once all have ended, whether it asks for each or for listings."""
    client = Server(looks=3).client()
    ids = [client.submit(str(i))["id"] for i in range(count)]
    ended = client.wait(ids, timeout_s=30)
    assert set(ended) == set(ids)
    assert {task["status"] for task in ended.values()} == {"completed"}


@pytest.mark.usefixtures("quick")
def test_a_wait_ends_in_time_and_names_what_is_open() -> None:
    """WaitTimeout carries the ids of the tasks that have not ended."""
    client = Server(looks=10**9).client()
    task_id = client.submit("T")["id"]
    with pytest.raises(WaitTimeout) as caught:
        client.wait(task_id, timeout_s=0.01)
    assert caught.value.details == {"open": [task_id]}


@pytest.mark.parametrize("count", [1, 10])
def test_waiting_for_an_unknown_task_is_not_found(count: int) -> None:
    """An id that is not there raises NotFound instead of waiting for ever."""
    client = Server().client()
    ids = [client.submit(str(i))["id"] for i in range(count)]
    with pytest.raises(NotFound):
        client.wait([*ids, "task-x"], timeout_s=60)


def test_arrays_travel_as_npy() -> None:
    """A numpy array keeps its element type and shape; lists stay lists."""
    array = np.arange(6, dtype=np.float32).reshape(2, 3)
    run = runs.inference("digits", {"x": array, "y": [1, 2]}, ["label"])
    data = base64.b64decode(run["inputs"]["x"]["npy_base64"])
    back = np.load(io.BytesIO(data), allow_pickle=False)
    assert back.dtype == array.dtype
    assert (back == array).all()
    assert run["inputs"]["y"] == [1, 2]


def test_runs_have_the_shape_of_the_api() -> None:
    """The builders make what the API takes."""
    assert runs.command(["a", "b"], env={"X": "1"}, working_dir="/tmp", timeout_s=3) == {
        "kind": "command",
        "argv": ["a", "b"],
        "env": {"X": "1"},
        "working_dir": "/tmp",
        "timeout_s": 3,
    }
    assert runs.command("wc", stdin=b"\xff") == {"kind": "command", "shell": "wc", "stdin_base64": "/w=="}
    assert runs.command("wc", stdin="a\n")["stdin"] == "a\n"
    assert runs.function("m:f", 1, b=2) == {
        "kind": "function",
        "function": "m:f",
        "args": [1],
        "kwargs": {"b": 2},
    }


def test_errors_of_the_package_are_exported() -> None:
    """`from helix_ray.client import Client, HelixError` is all that most programs need."""
    with pytest.raises(HelixError):
        Server().client().get("task-x")
