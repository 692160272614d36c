"""Every door and every odd value: it is taken and comes back equal, or it is refused with the
envelope and the field's name.

Whatever was tried, every listing still answers, also by an engine that has folded the same journal anew.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any, cast

import httpx
import orjson
import pytest

from helix_ray.client import Client, HelixError
from helix_ray.cluster.api import Cluster
from helix_ray.config import Settings
from helix_ray.core import snapshot
from helix_ray.core.access import SYSTEM
from helix_ray.core.errors import Refused, Rejected
from helix_ray.core.orders import (
    AttemptReport,
    Heartbeat,
    Order,
    OrderBody,
    Receipt,
    RegisterWorker,
    ReportAttempts,
    StartAttempts,
)
from helix_ray.engine import Engine
from helix_ray.journal.sqlite import SqliteJournal
from helix_ray.plane.control import Plane
from helix_ray.testing import MemoryControlPlane, RealClock, add_user
from helix_ray.wire.ids import new_seed
from tests.http.api_server import PASSWORD, Api, serving_api
from tests.http.odd_values import DOORS, HERE, TASK, Door, Raw, a_command, a_function

KEY = b"k" * 32
NODE = "worker-odd"
LISTINGS = (
    "/tasks", "/workers", "/harmony/nodes", "/harmony/cluster/status", "/harmony/quotas", "/users",
    "/projects",
    "/auth/tokens", "/auth/me", "/aurora/erasures", "/webhooks", "/devices",
)  # fmt: skip


@pytest.fixture(scope="module")
def api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    """Give the API over an engine whose journal is on disk, with a node and an external worker."""
    folder = tmp_path_factory.mktemp("doors")
    # Nobody sends heartbeats while other tests run, so leases must outlast the file.
    plane = MemoryControlPlane(Settings(lease_s=3_600.0, node_lease_s=3_600.0).policy())
    plane.engine = Engine(SqliteJournal(folder, KEY), plane.policy, RealClock())
    add_user(plane, "admin", PASSWORD, ["admin"])
    plane.give(
        RegisterWorker("odd", (), {"cpu": 1e6}, worker_id=NODE, kind="node", node_id="n-odd", boot="boot")
    )
    with serving_api(plane=plane) as running:
        hello = {"hostname": "h", "capabilities": ["planning"], "worker_id": "worker_x"}
        assert running.client().post("/workers/register", json=hello).status_code == 200
        yield running


@pytest.fixture(scope="module")
def admin(api: Api) -> httpx.Client:
    """Give a client of the administrator."""
    return api.client()


def listings_answer(client: httpx.Client) -> None:
    """Every listing answers."""
    for path in LISTINGS:
        assert client.get(path).status_code == 200, path
    assert client.get("/tasks", params={"limit": 1000}).status_code == 200


def tasks_answer(api: Api, client: httpx.Client) -> None:
    """Every task answers by itself."""
    for task_id in list(api.plane.engine.state.tasks):
        assert client.get(f"/tasks/{task_id}").status_code == 200
        assert client.get(f"/tasks/{task_id}/result").status_code in (200, 409)


def folded_anew(api: Api) -> None:
    """Put another engine in place of the one that was, on the same journal."""
    old = api.plane.engine
    folder = cast(SqliteJournal, old.journal)._path.parent
    old.journal.close()
    api.plane.engine = Engine(SqliteJournal(folder, KEY), api.plane.policy, RealClock())
    api.plane.engine.recover()
    assert dumped(api.plane.engine) == dumped(old)


def dumped(engine: Engine) -> dict[str, bytes]:
    """Return the parts of a state as JSON, in which lists and tuples are one."""
    return {name: orjson.dumps(part) for name, part in snapshot.dump(engine.state).items()}


def send(door: Door, value: Raw, api: Api, client: httpx.Client) -> httpx.Response:
    path = door.path.format(task=api.submit(client)) if "{task}" in door.path else door.path
    text = json.dumps(door.body).replace(json.dumps(HERE), value.text)
    headers = {"Content-Type": "application/json"}
    if door.method == "POST":
        headers["Idempotency-Key"] = new_seed()
    return client.request(door.method, path, content=text.encode(), headers=headers)


def check(door: Door, value: Raw, answer: httpx.Response, api: Api) -> None:
    body = answer.json()
    if answer.is_success and not body.get("rejected"):
        if door.read is not None and value.value is not None:
            got = door.read(body, api)
            assert (json.dumps(got), type(got)) == (json.dumps(value.value), type(value.value))
        return
    error = body["tasks"][0]["error"] if "tasks" in body else body["error"]
    assert answer.is_success or answer.status_code in (400, 401, 403, 404, 409, 413), answer.text
    if error["code"] == "VALIDATION_ERROR":
        assert error["details"]["field"] is not None, error


@pytest.mark.parametrize(("door", "values"), [row[1:] for row in DOORS], ids=[row[0] for row in DOORS])
def test_rest(door: Door, values: dict[str, Raw], api: Api, admin: httpx.Client) -> None:
    """REST and its batches: reports of external workers, progress, registrations,
    heartbeats and names among them."""
    for name, value in values.items():
        answer = send(door, value, api, admin)
        assert answer.status_code < 500, (name, answer.text)
        check(door, value, answer, api)
    assert admin.get("/tasks").status_code == 200


class InJob:
    """What a Ray job has of the plane."""

    def __init__(self, plane: MemoryControlPlane) -> None:
        self.execute, self.query = plane.execute, plane.query

    async def aclose(self) -> None:
        """Nothing to let go of."""


PYTHON: dict[str, Any] = {
    "lone surrogate": "caf\udce9",
    "nul": "a\0b",
    "1 MB": "x" * 1_000_000,
    "control characters": "\x1b[31m",
}


def _refused_field(call: Callable[[], Any]) -> str | None:
    try:
        call()
    except Refused as refused:
        return str(refused.rejected.details["field"])
    return None


@pytest.mark.parametrize("value", PYTHON.values(), ids=PYTHON)
def test_the_python_api(value: str, api: Api, admin: httpx.Client) -> None:
    """Inside a Ray job: texts of a task; what is refused names the field."""
    cluster = Cluster(cast(Plane, InJob(api.plane)))
    try:
        calls: dict[str, Callable[[], Any]] = {
            "run.argv.1": lambda: cluster.command(["true", value]),
            "run.shell": lambda: cluster.command(value),
            "run.env": lambda: cluster.command("true", env={"A": value}),
            "run.env.": lambda: cluster.command("true", env={value: "A"}),
            "run.working_dir": lambda: cluster.command("true", working_dir=value),
            "title": lambda: cluster.command("true", title=value),
            "description": lambda: cluster.command("true", description=value),
            "labels": lambda: cluster.command("true", labels={"a": value}),
            "labels.": lambda: cluster.command("true", labels={value: "a"}),
            "required_capabilities": lambda: cluster.command("true", required_capabilities=[value]),
            "project_id": lambda: cluster.command("true", project_id=value),
            "depends_on": lambda: cluster.command("true", depends_on=[value]),
            "type": lambda: cluster.command("true", type=value),
            "run.model": lambda: cluster.inference(value, [1]),
        }
        for field, call in calls.items():
            named = _refused_field(call)
            assert named is None or named.startswith(field.rstrip(".")), (field, named)
    finally:
        cluster.close()
    listings_answer(admin)


def test_values_of_the_python_api(api: Api, admin: httpx.Client) -> None:
    """Inputs of a model may be anything that Python has: what JSON has not is refused, and says where."""

    def nested(levels: int) -> Any:
        value: Any = 1
        for _ in range(levels):
            value = [value]
        return value

    odd = {
        "inputs.0": [2**64],
        "inputs": 10**400,
        "inputs.a": {"a": float("nan")},
        "inputs.1": [0.5, float("inf")],
        "inputs.2": [1, 2, {1: 2}],
        "inputs.y": {"y": b"bytes"},
    }
    cluster = Cluster(cast(Plane, InJob(api.plane)))
    try:
        for field, value in odd.items():
            with pytest.raises(Refused) as refused:
                cluster.inference("m", value)
            assert refused.value.rejected.details["field"] == f"run.{field}"
        for levels in (103, 200, 1_000, 100_000):
            with pytest.raises(Refused, match="nested deeper than 100 levels"):
                cluster.inference("m", nested(levels))
        for value in ([2**53 + 1, 2**63, -0.0], {"": {"": 1}}, nested(100), "x" * 1_000_000):
            handle = cluster.inference("m", value)
            assert json.dumps(api.plane.engine.state.tasks[handle.id].spec["run"]["inputs"]) == json.dumps(
                value
            )
    finally:
        cluster.close()
    listings_answer(admin)


def _order(api: Api, body: OrderBody) -> Receipt | Rejected:
    return api.plane.carry_out(Order(body, SYSTEM, "req-node", new_seed()))


NODE_VALUES: dict[str, Any] = {
    "lone surrogate": "caf\udce9",
    "deep": [[[]]] * 3,
    "2^64": 2**64,
    "nan": float("nan"),
    "bytes": b"x",
    "key": {1: 2},
    "surrogate key": {"\udce9": [None]},
}
for _ in range(200):
    NODE_VALUES["deep"] = [NODE_VALUES["deep"]]


@pytest.mark.parametrize("value", NODE_VALUES.values(), ids=NODE_VALUES)
def test_a_node(value: Any, api: Api, admin: httpx.Client) -> None:
    """Results, errors, progress, heartbeats and registrations of a node worker: no
    attempt stays running for ever."""
    tasks = [api.submit(admin, **a_command()) for _ in range(3)]
    _order(api, StartAttempts(tuple((task_id, NODE) for task_id in tasks)))
    reports = (
        AttemptReport(tasks[0], 1, "completed", {"success": True, "value": value}),
        AttemptReport(tasks[1], 1, "failed", {"output": value}, {"reason": "failed", "message": value}),
        AttemptReport(tasks[2], 1, "progressed", progress=50.0, note=value),
        AttemptReport(tasks[2], 1, "completed", {"success": True, "value": 3}),
    )
    answer = _order(api, ReportAttempts(NODE, "boot", reports))
    assert isinstance(answer, Receipt), answer
    first, second, third = (api.plane.engine.state.tasks[task_id] for task_id in tasks)
    assert first.error is not None
    assert (first.status, first.error["reason"]) == ("failed", "not_serialisable")
    assert first.error["message"].startswith("result.value")
    assert second.error is not None
    assert (second.status, second.error["reason"]) == ("failed", "failed")
    assert (third.status, third.result) == ("completed", {"success": True, "value": 3})
    assert isinstance(_order(api, Heartbeat(NODE, usage={"a": value}, boot="boot")), Receipt)
    again = _order(
        api,
        RegisterWorker(
            "odd",
            (),
            {"cpu": 1e6},
            worker_id="worker-odd2",
            kind="node",
            node_id="n",
            boot="b",
            labels={"zone": value},
        ),
    )
    assert isinstance(again, Rejected)
    assert again.details["field"].startswith("labels.zone")
    listings_answer(admin)


def test_the_client(api: Api, admin: httpx.Client) -> None:
    """The client library sends what it was given, or says what it cannot send."""
    with Client(api.url, token=str(admin.headers["Authorization"]).removeprefix("Bearer ")) as client:
        for fields, field in (
            ({"labels": {"a": "\udce9"}}, "labels.a"),
            ({"run": a_function(args=[2**64])["run"]}, "run.args.0"),
            ({"run": a_function(args=[float("nan")])["run"]}, "run.args.0"),
            ({"run": a_function(kwargs={"a": {1: 2}})["run"]}, "run.kwargs.a"),
        ):
            with pytest.raises(HelixError) as refused:
                client.submit("t", type="planning", **fields)
            assert (refused.value.code, refused.value.details["field"]) == ("VALIDATION_ERROR", field)
        with pytest.raises(HelixError, match="is not valid Unicode"):
            client.get("task-\udce9")


@pytest.mark.parametrize(
    ("body", "field"),
    [
        (a_function(args=[1, {"a": 2**64}]), "run.args.1.a"),
        (a_function(kwargs={"a": 10**400}), "run.kwargs.a"),
        ({**TASK, "run": {"kind": "inference", "model": "m", "inputs": [[2**64]]}}, "run.inputs.0.0"),
    ],
)
def test_a_refusal_names_the_place_within_a_value(body: Any, field: str, admin: httpx.Client) -> None:
    """In a request and in a batch."""
    headers = {"Content-Type": "application/json"}
    error = admin.post("/tasks", content=json.dumps(body), headers=headers).json()["error"]
    assert error["details"]["field"] == field
    batch = admin.post("/tasks/batch", content=json.dumps({"tasks": [TASK, body]}), headers=headers).json()
    assert (batch["accepted"], batch["tasks"][1]["error"]["details"]["field"]) == (1, field)


def test_two_numbers_are_two_requests(api: Api, admin: httpx.Client) -> None:
    """An Idempotency-Key tells integers apart however near they are, also in a
    batch where they are refused."""
    for near in ((2**53, 2**53 + 1), (2**64, 2**64 + 1), (10**400, 10**400 + 1)):
        key = new_seed()
        bodies = [{"tasks": [TASK, a_function(args=[number])]} for number in near]
        answers = [
            admin.post(
                "/tasks/batch", content=json.dumps(body),
                headers={"Idempotency-Key": key, "Content-Type": "application/json"},
            )
            for body in (*bodies, bodies[0])
        ]  # fmt: skip
        assert [answer.status_code for answer in answers] == [201, 409, 201]
        assert answers[2].json() == answers[0].json()
        assert answers[2].headers["Idempotency-Replayed"] == "true"


def test_all_of_it_after_a_restart(api: Api, admin: httpx.Client) -> None:
    """What was taken through all doors folds into the same state, and every listing answers from it."""
    listings_answer(admin)
    tasks_answer(api, admin)
    folded_anew(api)
    again = api.client()
    listings_answer(again)
    tasks_answer(api, again)
