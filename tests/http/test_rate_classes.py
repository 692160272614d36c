"""Each class of requests has a number of its own, and says its name on every answer."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import httpx
import pytest

from helix_ray.config import Settings
from helix_ray.core.limits import (
    ANONYMOUS,
    AUTHENTICATED,
    DEVICES,
    INFERENCE,
    LOGIN,
    POLICIES,
    STREAMS,
    WORKERS,
)
from serve_app.edge.rate_limit import Asked, class_of
from tests.http.api_server import Api, error_of, serving_api
from tests.ray.signals import until

TASK = "/api/v1/tasks/task-1"
WORKER = ("worker",)


@pytest.mark.parametrize(
    ("method", "path", "query", "roles", "policy"),
    [
        ("POST", "/api/v1/tasks", b"", ("admin",), AUTHENTICATED),
        ("POST", "/api/v1/workers/register", b"", ("admin",), WORKERS),
        ("POST", "/api/v1/workers/heartbeat", b"", WORKER, WORKERS),
        ("GET", "/api/v1/workers/heartbeat", b"", WORKER, AUTHENTICATED),
        ("GET", "/api/v1/workers", b"", ("admin",), AUTHENTICATED),
        ("PUT", TASK, b"", WORKER, WORKERS),
        ("GET", TASK, b"", WORKER, WORKERS),
        ("DELETE", TASK, b"", WORKER, AUTHENTICATED),
        ("PUT", TASK, b"", ("developer", "worker"), AUTHENTICATED),
        ("PUT", TASK, b"", ("developer",), AUTHENTICATED),
        ("GET", f"{TASK}/logs", b"follow=true", ("developer",), STREAMS),
        ("GET", f"{TASK}/result", b"wait_s=20", ("developer",), STREAMS),
        ("GET", f"{TASK}/result", b"wait%5Fs%3d20&wait%5fs=20", ("developer",), STREAMS),
        ("GET", f"{TASK}/result", b"", ("developer",), AUTHENTICATED),
        ("GET", "/api/v1/models/m/versions/1", b"mark=1&wait_s=9", ("publisher",), STREAMS),
        ("GET", "/api/v1/models/m/versions/1", b"", ("publisher",), AUTHENTICATED),
        ("POST", "/api/v1/devices/sync", b"", ("developer",), DEVICES),
        ("GET", "/api/v1/devices", b"", ("developer",), DEVICES),
        ("GET", "/api/v1/deviceslike", b"", ("developer",), AUTHENTICATED),
        ("POST", "/v2/models/digits/infer", b"", ("developer",), INFERENCE),
    ],
)
def test_the_class_of_a_request_follows_from_its_first_line(
    method: str, path: str, query: bytes, roles: tuple[str, ...], policy: object
) -> None:
    """Method, path and query decide, and for tasks whether the user is a worker and nothing else."""
    assert class_of(Asked(method, path, query), roles) == policy.name  # type: ignore[attr-defined]


def test_settings_have_a_number_for_every_class() -> None:
    """Without any settings they are the documented ones."""
    assert set(Settings().rate_limits()) == set(POLICIES)
    assert (AUTHENTICATED.limit, ANONYMOUS.limit, LOGIN.limit) == (1_000, 100, 20)
    few = {policy.name: policy.limit for policy in Settings(rate_limit_workers=7).rate_limits()}
    assert (few["workers"], few["authenticated"]) == (7, 1_000)


FEW = tuple(policy._replace(limit=5) if policy in (AUTHENTICATED, WORKERS) else policy for policy in POLICIES)


@pytest.fixture(scope="module")
def limited() -> Iterator[Api]:
    with serving_api(Settings(streams_open_max=2), policies=FEW) as api:
        yield api


def test_heartbeats_do_not_use_up_what_a_person_may_ask(limited: Api) -> None:
    """Five heartbeats and five reads: each class refuses its sixth, by name, with every header."""
    hand = limited.add("hand", "worker", "viewer")
    hello = {"hostname": "h", "capabilities": ["design"]}
    answer = hand.post("/workers/register", json=hello)
    assert answer.headers["ratelimit-policy"] == '"workers";q=5;w=3600'
    beat = {"worker_id": answer.json()["worker_id"], "status": "idle"}
    paces = [hand.post("/workers/heartbeat", json=beat).json()["next_heartbeat_s"] for _ in range(4)]
    # As the allowance shrinks the pace slows down, to what keeps the lease.
    assert paces == sorted(paces)
    assert paces[-1] == pytest.approx(Settings().lease_s * 2 / 3)
    refused = hand.post("/workers/heartbeat", json=beat)
    error = error_of(refused, 429, "RATE_LIMIT_EXCEEDED")
    assert (error["details"]["policy"], error["details"]["limit"]) == ("workers", 5)
    assert "class workers" in error["message"]
    assert (refused.headers["x-ratelimit-limit"], refused.headers["x-ratelimit-remaining"]) == ("5", "0")
    assert int(refused.headers["retry-after"]) > 3_000
    assert refused.headers["ratelimit"].startswith('"workers";r=0;t=')
    reads = [hand.get("/tasks") for _ in range(6)]
    assert [read.status_code for read in reads] == [200] * 5 + [429]
    assert reads[0].headers["ratelimit-policy"] == '"authenticated";q=5;w=3600'


def test_a_worker_reads_and_reports_in_its_own_class(limited: Api) -> None:
    """Who is a worker only is counted there; without a token every class is the address's."""
    hand = limited.add("hand-2", "worker")
    for answer in (hand.get("/tasks/task-none"), hand.put("/tasks/task-none", json={"progress": 1})):
        assert answer.status_code == 404
        assert answer.headers["ratelimit-policy"] == '"workers";q=5;w=3600'
    anonymous = limited.anonymous().post("/workers/heartbeat", json={})
    assert anonymous.headers["ratelimit-policy"] == '"anonymous";q=100;w=3600'


def test_a_user_has_so_many_streams_open_and_no_more(limited: Api) -> None:
    """The third is refused with 429; one that its reader leaves, before or after
    the first byte, makes room."""
    boss = limited.add("boss", "admin")
    task_id = limited.submit(boss)
    path = f"/tasks/{task_id}/logs?follow=true"
    token = boss.headers["Authorization"]

    def leave(opened: threading.Event, go: threading.Event) -> None:
        with (
            httpx.Client(base_url=boss.base_url, headers={"Authorization": token}, timeout=30) as client,
            client.stream("GET", path) as answer,
        ):
            assert answer.headers["ratelimit-policy"] == '"streams";q=3600;w=3600'
            opened.set()
            go.wait(30)

    go, opened = threading.Event(), [threading.Event(), threading.Event()]
    readers = [threading.Thread(target=leave, args=(event, go)) for event in opened]
    for reader in readers:
        reader.start()
    for event in opened:
        assert event.wait(30)
    refused = boss.get(path)
    error = error_of(refused, 429, "RATE_LIMIT_EXCEEDED")
    assert (error["details"]["policy"], error["details"]["open_max"]) == ("streams", 2)
    assert refused.headers["retry-after"] == "1"
    # Another user has room, and so has this one for what is not long.
    other = limited.add("other", "admin")
    with other.stream("GET", path) as answer:
        assert answer.status_code == 200
    assert boss.get(f"/tasks/{task_id}").status_code == 200
    go.set()
    for reader in readers:
        reader.join()

    def room() -> bool:
        with boss.stream("GET", path) as answer:
            return answer.status_code == 200

    until(room)
