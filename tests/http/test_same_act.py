"""The same act leaves the same facts through every door; who did it and where from is
what tells the doors apart."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any, cast

import pytest

from helix_ray.client import Client
from helix_ray.client.transport import AGENT
from helix_ray.cluster.api import Cluster
from helix_ray.core.access import inside
from helix_ray.core.audit.records import AuditRecord, records_of
from helix_ray.core.events import Fact, subject_of
from helix_ray.core.orders import RegisterWorker
from helix_ray.plane.control import Plane
from helix_ray.testing import MemoryControlPlane
from tests.http.api_server import PASSWORD, Api
from tests.http.running_node import Helix

# Submits a task that waits for ever, cancels it, and returns its id.
Act = Callable[[], str]
JOB = "01000000"


class InJob:
    """What a Ray job has of the plane."""

    def __init__(self, plane: MemoryControlPlane) -> None:
        self.execute, self.query = plane.execute, plane.query

    async def aclose(self) -> None:
        """Nothing to let go of."""


@pytest.fixture
def doors(api: Api, helix: Helix, monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, Act]]:
    """Give the act through each door."""
    run = {"kind": "command", "argv": ["true"]}
    rest = api.client()
    client = Client(api.url)
    client.login("admin", PASSWORD)
    monkeypatch.setenv("HELIX_PASSWORD", PASSWORD)
    assert helix("login", "--url", api.url, "--username", "admin").code == 0
    cluster = Cluster(cast(Plane, InJob(api.plane)), JOB)

    def by_rest() -> str:
        task_id = api.submit(rest, title="true", type="testing", run=run)
        assert rest.post(f"/tasks/{task_id}/cancel").status_code == 200
        return task_id

    def by_client() -> str:
        task_id: str = client.submit("true", type="testing", run=run)["id"]
        client.cancel(task_id)
        return task_id

    def by_program() -> str:
        ran = helix("task", "submit", "--json", "--type", "testing", "--", "true")
        task_id: str = json.loads(ran.out)["id"]
        assert helix("task", "cancel", task_id).code == 0
        return task_id

    def by_job() -> str:
        handle = cluster.command(["true"], type="testing")
        assert handle.cancel()
        return handle.id

    yield {"REST": by_rest, "client": by_client, "program": by_program, "Ray job": by_job}
    client.close()
    cluster.close()


def facts_about(api: Api, task_id: str) -> list[Fact]:
    """Return the facts about a task."""
    return [fact for fact in api.plane.engine.facts(0, 1 << 20).facts if subject_of(fact.event) == task_id]


def told(fact: Fact) -> tuple[Any, ...]:
    """Return what of a fact must be the same through every door."""
    event: Any = fact.event
    spec = getattr(event, "spec", None)
    shared = None if spec is None else (spec["title"], spec["type"], spec["run"]["argv"])
    return type(event).__name__, fact.outcome, shared


def of_record(record: AuditRecord) -> tuple[Any, ...]:
    """Return what of a record of the audit must be the same through every door."""
    change = None if record.change is None else record.change.values
    return record.event_type, record.action, record.result, record.resource, record.count, change


def test_a_quota_is_changed(api: Api, doors: dict[str, Act], helix: Helix) -> None:
    """By REST, by the client and by the program, which is logged in: one record of what was set."""
    rest, client = api.client(), Client(api.url)
    client.login("admin", PASSWORD)
    rest.put("/harmony/quotas/p-rest", json={"limits": {"cpu": 2}, "weight": 3}).raise_for_status()
    client.set_quota("p-client", {"cpu": 2}, 3)
    assert helix("quota", "set", "p-program", "cpu=2", "--weight", "3").code == 0
    client.close()
    found = [records_of(facts_about(api, f"p-{door}")) for door in ("rest", "client", "program")]
    set_to = {"limits": {"cpu": 2}, "weight": 3}
    assert [[of_record(record) for record in records] for records in found] == [
        [("config_change", "set_quota", "success", "project", 1, set_to)]
    ] * 3


def test_a_worker_registers_and_is_drained(api: Api, helix: Helix, doors: dict[str, Act]) -> None:
    """An external worker over HTTP and a node inside the cluster; by REST, by the client and by the program:
    the records differ in who it was, and from where."""
    bot, rest, client = api.add("registering", "worker"), api.client(), Client(api.url)
    client.login("admin", PASSWORD)
    registered = bot.post(
        "/workers/register", json={"hostname": "h", "capabilities": [], "resources": {"cpu": 1}}
    )
    external, node = registered.json()["worker_id"], "worker-inside"
    order = RegisterWorker("h", (), {"cpu": 1.0}, worker_id=node, kind="node", node_id="inside", boot="boot")
    api.plane.give(order, inside("node:inside"))
    rest.post(f"/workers/{external}/drain").raise_for_status()
    client.drain(node)
    client.close()
    for worker_id in (external, node):
        assert helix("worker", "rm", worker_id).code == 0
    records = {worker_id: records_of(facts_about(api, worker_id)) for worker_id in (external, node)}
    acts = [[of_record(record)[:5] for record in found] for found in records.values()]
    names = ("register_worker", "drain_worker", "remove_worker")
    assert acts == [[("config_change", name, "success", "worker", 1) for name in names]] * 2
    admin = api.plane.engine.state.users_by_name["admin"]
    authors = [[record.user_id for record in found] for found in records.values()]
    assert authors == [
        [api.plane.engine.state.users_by_name["registering"], admin, admin], ["node:inside", admin, admin]
    ]  # fmt: skip
    assert [record.origin.address for record in records[node]] == ["", "127.0.0.1", "127.0.0.1"]


def test_a_task_is_submitted_and_cancelled(api: Api, doors: dict[str, Act]) -> None:
    """Every row has time, author, outcome and request; the origin names address, session and
    program where there are any."""
    rows = {door: facts_about(api, act()) for door, act in doors.items()}
    expected = [("TaskSubmitted", "ok", ("true", "testing", ["true"])), ("TaskCancelled", "ok", None)]
    assert {door: [told(fact) for fact in facts] for door, facts in rows.items()} == dict.fromkeys(
        doors, expected
    )
    acts = {door: [of_record(record) for record in records_of(facts)] for door, facts in rows.items()}
    both = [("data_access", name, "success", "task", 1, None) for name in ("submit_task", "cancel_task")]
    assert list(acts.values()) == [both] * len(doors)
    admin = api.plane.engine.state.users_by_name["admin"]
    for door, facts in rows.items():
        for fact in facts:
            assert fact.at > 0
            assert fact.request_id.startswith("req-")
            assert fact.actor == (f"job:{JOB}" if door == "Ray job" else admin)
            assert (fact.origin.address == "127.0.0.1") == (door != "Ray job")
            assert (fact.origin.credential in api.plane.engine.state.sessions) == (door != "Ray job")
            assert (fact.origin.user_agent == AGENT) == (door in ("client", "program"))


def test_a_status_that_is_set_by_hand_is_recorded(api: Api) -> None:
    """Who says that a task has ended, or takes it, is in the audit; the report of the worker that runs it is
    the system's own work, and a cancel has its own record."""
    rest, bot = api.client(), api.add("reporting", "worker")
    task_id, other = api.submit(rest), api.submit(rest)
    rest.put(f"/tasks/{task_id}", json={"progress": 10}).raise_for_status()
    rest.put(f"/tasks/{task_id}", json={"progress": 20}).raise_for_status()
    rest.put(f"/tasks/{task_id}", json={"title": "y", "status": "completed", "result": 1}).raise_for_status()
    rest.put(f"/tasks/{other}", json={"status": "cancelled"}).raise_for_status()
    acts = [(record.action, record.details.get("status")) for record in records_of(facts_about(api, task_id))]
    marks = [("submit_task", None), ("mark_task", "running"), ("mark_task", "completed"), ("edit_task", None)]
    assert acts == marks
    assert [record.action for record in records_of(facts_about(api, other))] == ["submit_task", "cancel_task"]
    taken = api.submit(rest, type="debugging")
    registered = bot.post(
        "/workers/register", json={"hostname": "h", "capabilities": ["debugging"], "resources": {"cpu": 1}}
    )
    beat = {"worker_id": registered.json()["worker_id"], "status": "idle", "resources": {}}
    assert bot.post("/workers/heartbeat", json=beat).json()["assigned_task"] == taken
    bot.put(f"/tasks/{taken}", json={"status": "completed", "result": 1}).raise_for_status()
    assert [record.action for record in records_of(facts_about(api, taken))] == ["submit_task"]
