"""The client's calls about the cluster: what each sends, and what it makes of the answer."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import httpx
import orjson
import pytest

from helix_ray.client import Client, Retries
from tests.unit.client.wire import served

NODE = {"id": "worker-1", "status": "active"}
ANSWERS: dict[str, Any] = {
    "/harmony/cluster/status": {"master_node": {"id": "helix-master"}, "worker_nodes": []},
    "/harmony/nodes": {"nodes": [NODE]},
    "/harmony/distribute": {"distributed": True, "assigned_nodes": ["worker-1"]},
    "/tasks/task-1/explain": {"id": "task-1", "verdict": "waiting"},
    "/harmony/quotas": {"quotas": [{"project_id": "p"}]},
}


class Server:
    """Answers from ANSWERS (a node where it has none), and keeps what it was asked."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, str, Any]] = []
        self.keys: list[str | None] = []
        self.client = Client(
            "http://h",
            "token",
            http=served(self.answer),
            retries=Retries(total_s_max=0),
        )

    def answer(self, request: httpx.Request) -> httpx.Response:
        path = request.url.raw_path.decode().removeprefix("/api/v1")
        self.asked.append((request.method, path, orjson.loads(request.content) if request.content else None))
        self.keys.append(request.headers.get("idempotency-key"))
        return httpx.Response(200, json=ANSWERS.get(path, NODE))


CALLS: list[tuple[Callable[[Client], Any], tuple[str, str, Any], Any]] = [
    (
        lambda c: c.cluster_status(),
        ("GET", "/harmony/cluster/status", None),
        ANSWERS["/harmony/cluster/status"],
    ),
    (lambda c: c.nodes(), ("GET", "/harmony/nodes", None), [NODE]),
    (lambda c: c.node("worker-1"), ("GET", "/harmony/nodes/worker-1", None), NODE),
    (lambda c: c.drain_node("worker-1"), ("POST", "/harmony/nodes/worker-1/drain", None), NODE),
    (lambda c: c.undrain_node("worker-1"), ("POST", "/harmony/nodes/worker-1/undrain", None), NODE),
    (lambda c: c.acceleration(), ("GET", "/harmony/ai/acceleration", None), NODE),
    (lambda c: c.acceleration("worker-1"), ("GET", "/harmony/ai/acceleration?node=worker-1", None), NODE),
    (lambda c: c.node_devices("worker-1"), ("GET", "/harmony/nodes/worker-1/devices", None), NODE),
    (
        lambda c: c.node_devices("worker-1", 6),
        ("GET", "/harmony/nodes/worker-1/devices?points=6", None),
        NODE,
    ),
    (
        lambda c: c.explain("task-1"),
        ("GET", "/tasks/task-1/explain", None),
        ANSWERS["/tasks/task-1/explain"],
    ),
    (lambda c: c.quotas(), ("GET", "/harmony/quotas", None), [{"project_id": "p"}]),
    (
        lambda c: c.set_quota("p 1?", {"cpu": 8}, 2),
        ("PUT", "/harmony/quotas/p%201%3F", {"limits": {"cpu": 8}, "weight": 2}),
        NODE,
    ),
]


@pytest.mark.parametrize(("call", "asked", "answer"), CALLS)
def test_each_call_is_one_request(
    call: Callable[[Client], Any], asked: tuple[str, str, Any], answer: Any
) -> None:
    """Method, path and body are those of the API, and the answer comes back as the dict that it is."""
    server = Server()
    assert call(server.client) == answer
    assert server.asked == [asked]


def test_distribute_sends_the_given_fields_only() -> None:
    """Omitted fields are not sent, so the server's defaults apply; a given key is used."""
    server = Server()
    assert server.client.distribute("task-1")["assigned_nodes"] == ["worker-1"]
    server.client.distribute(
        "task-1", "round_robin", ["gpu"], max_nodes=2, dry_run=True, idempotency_key="once"
    )
    assert [body for _, _, body in server.asked] == [
        {"task_id": "task-1"},
        {
            "task_id": "task-1",
            "distribution_strategy": "round_robin",
            "required_capabilities": ["gpu"],
            "max_nodes": 2,
            "dry_run": True,
        },
    ]
    assert server.keys[0]
    assert server.keys[1] == "once"
