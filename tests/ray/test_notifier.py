"""Webhooks on a real cluster: real receivers, and processes killed with SIGKILL."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest
import ray
from standardwebhooks.webhooks import Webhook

from actors import names
from helix_ray.core.access import SYSTEM, Principal
from helix_ray.core.orders import CreateUser, CreateWebhook, DeleteWebhook, Receipt
from helix_ray.core.questions import GetDelivery, GetTask, ListDeliveries
from helix_ray.security.passwords import hash_password
from helix_ray.webhooks.signing import body_signature
from tests.ray.conftest import LiveCluster
from tests.ray.signals import until
from tests.receivers import Received, Receiver, receiving_beside

SECRET = "a secret of the test"
SIGNING_SECRET = "whsec_" + "QUFB" * 10
ANSWERED_S_MAX = 5.0
EXTERNAL = {"title": "x", "type": "building"}


def made(cluster: LiveCluster, body: Any, by: Principal = SYSTEM) -> str:
    """Carry out an order that must not be refused; return the id."""
    answer = cluster.execute(body, by)
    assert isinstance(answer, Receipt), answer
    return str(answer.data["id"])


def pid(name: str) -> int | None:
    """Return the process of an actor that is ready."""
    with contextlib.suppress(ray.exceptions.RayError, ValueError):
        said = ray.get(names.find(name).health.remote(), timeout=5)
        return int(said["pid"]) if said["ready"] else None
    return None


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    """A receiver on loopback."""
    with receiving_beside() as found:
        yield found


def test_kills_lose_nothing_and_repeat_with_the_same_id(cluster: LiveCluster, receiver: Receiver) -> None:
    """The notifier starts with the first webhook. It and the master are killed while events come: every event
    arrives, numbered without a gap, signed for public libraries, and the few that come twice have one id. A
    receiver that asks back before it answers finds what it was told of."""
    owner = Principal(
        made(cluster, CreateUser("hooks", hash_password("a password"), ("admin",))), "hooks", ("admin",)
    )
    wanted = {"events": ["task.created"], "projects": [], "types": [], "labels": {}, "statuses": []}
    hook = CreateWebhook(
        url=receiver.url("/ok"), filter=wanted, secret=SECRET, signing_secret=SIGNING_SECRET,
        headers={"Authorization": "Bearer canary"},
    )  # fmt: skip
    hook_id = made(cluster, hook, owner)
    until(lambda: pid(names.NOTIFIER) is not None)
    asked: dict[str, asyncio.Task[dict[str, Any]]] = {}

    async def ask_back(request: Received) -> None:
        # Each asks on a connection of its own, so not all of them do.
        if len(receiver.requests) % 10 == 0:
            task_id = task_of(request.body)
            ask = asyncio.to_thread(cluster.ask, GetTask(task_id), owner)
            asked[task_id] = asyncio.get_running_loop().create_task(ask)
            # While the master starts again, an answer that waits for it would be too late, and the message
            # would come twice for that.
            await asyncio.wait([asked[task_id]], timeout=ANSWERED_S_MAX)

    receiver.on_request = ask_back
    ids: list[str] = []
    for victim in (names.NOTIFIER, names.MASTER, names.NOTIFIER):
        ids += cluster.submit(*[EXTERNAL] * 100)
        before = pid(victim)
        if before is not None:
            os.kill(before, signal.SIGKILL)
        ids += cluster.submit(*[EXTERNAL] * 100)
    until(lambda: {task_of(request.body) for request in receiver.of("/ok")} >= set(ids))
    receiver.on_request = None
    # What has arrived is not answered yet, nor are the questions of those that asked back.
    until(lambda: all(ask.done() for ask in asked.values()))
    until(lambda: count_of(cluster, ListDeliveries(hook_id), owner) >= len(ids))
    assert len(asked) >= len(ids) // 20
    assert {task_id: ask.result()["id"] for task_id, ask in asked.items()} == {i: i for i in asked}
    got = receiver.of("/ok")
    message_of = {request.headers["webhook-id"]: task_of(request.body) for request in got}
    numbers = {request.headers["helix-number"]: request.headers["webhook-id"] for request in got}
    assert sorted(message_of.values()) == sorted(set(message_of.values()))
    assert sorted(map(int, numbers)) == list(range(1, len(message_of) + 1))
    assert max(Counter(request.headers["webhook-id"] for request in got).values()) <= 4
    assert len(got) - len(message_of) <= 3 * 4
    for request in got:
        told = Webhook(SIGNING_SECRET).verify(request.body, request.headers)
        assert request.headers["x-hub-signature-256"] == body_signature(request.body, SECRET)
        assert told["event"] == "task.created"
        assert request.headers["authorization"] == "Bearer canary"

    page = cluster.ask(ListDeliveries(hook_id), owner)
    assert page["standing"]["failing_since"] is None
    newest = page["deliveries"][0]
    assert (newest["status"], newest["event"]) == ("delivered", "task.created")
    shown = str(cluster.ask(GetDelivery(hook_id, newest["seq"]), owner))
    assert "canary" not in shown
    assert newest["id"] in shown
    made(cluster, DeleteWebhook(hook_id), owner)


def count_of(cluster: LiveCluster, question: ListDeliveries, owner: Principal) -> int:
    """Return how many messages were delivered."""
    return int(cluster.ask(question, owner)["standing"]["messages"]["delivered"])


def task_of(body: bytes) -> str:
    """Return the task that a body tells of."""
    return str(json.loads(body)["data"]["task_id"])
