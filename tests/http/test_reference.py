"""Every call of the API reference that belongs to tasks, workers, logins and the cluster, in
its order, field by field."""

from __future__ import annotations

import re
from typing import Any

import httpx

from tests.http.api_server import PASSWORD, Api, error_of
from tests.http.devices import device, host_sample
from tests.http.fleet import Fleet

TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z")


def assert_fields(content: dict[str, Any], **types: Any) -> None:
    """Check that each documented field is there with its type; a pattern is a text that matches."""
    for name, kind in types.items():
        assert name in content, (name, content)
        value = content[name]
        if isinstance(kind, re.Pattern):
            assert kind.fullmatch(value), (name, value)
        else:
            assert isinstance(value, kind), (name, value)
            assert not isinstance(value, bool) or bool in (kind if isinstance(kind, tuple) else (kind,))


def test_login(api: Api) -> None:
    answer = api.anonymous().post("/auth/login", json={"username": "admin", "password": PASSWORD})
    assert answer.status_code == 200
    content = answer.json()
    assert_fields(content, token=str, expires_at=TIME, user=dict)
    assert_fields(content["user"], id=re.compile(r"user-\w+"), username=str, roles=list)
    assert (content["user"]["username"], content["user"]["roles"]) == ("admin", ["admin"])
    assert content["token"].count(".") == 2


def test_create_get_list_update_delete_a_task(admin: httpx.Client) -> None:
    body = {
        "title": "Implement user authentication",
        "description": "Add JWT-based auth system",
        "type": "building",
        "priority": "high",
        "project_id": "project-123",
    }
    answer = admin.post("/tasks", json=body)
    assert answer.status_code == 201
    created = answer.json()
    assert_fields(created, id=re.compile(r"task-\w+"), created_at=TIME)
    assert (created["title"], created["status"], created["priority"]) == (body["title"], "pending", "high")

    assert admin.put(f"/tasks/{created['id']}", json={"status": "running", "progress": 45}).status_code == 200
    answer = admin.get(f"/tasks/{created['id']}")
    assert answer.status_code == 200
    task = answer.json()
    assert_fields(task, created_at=TIME, updated_at=TIME, progress=int, assigned_worker=(str, type(None)))
    assert {name: task[name] for name in body} == body
    assert (task["id"], task["status"], task["progress"]) == (created["id"], "running", 45)

    answer = admin.get("/tasks", params={"status": "running", "priority": "high", "limit": 50, "offset": 0})
    assert answer.status_code == 200
    page = answer.json()
    assert (page["total"], page["limit"], page["offset"], len(page["tasks"])) == (1, 50, 0, 1)
    assert_fields(page["tasks"][0], id=str, title=str, status=str, priority=str)

    answer = admin.put(f"/tasks/{created['id']}", json={"status": "completed", "progress": 100})
    assert answer.status_code == 200
    updated = answer.json()
    assert_fields(updated, updated_at=TIME, progress=int)
    assert (updated["id"], updated["status"], updated["progress"]) == (created["id"], "completed", 100)

    answer = admin.delete(f"/tasks/{created['id']}")
    assert (answer.status_code, answer.content) == (204, b"")
    error_of(admin.get(f"/tasks/{created['id']}"), 404, "NOT_FOUND")


def test_list_defaults(admin: httpx.Client) -> None:
    page = admin.get("/tasks").json()
    assert (page["limit"], page["offset"]) == (50, 0)


def test_register_heartbeat_and_list_workers(admin: httpx.Client) -> None:
    body = {
        "hostname": "worker-node-1",
        "capabilities": ["planning", "building", "testing"],
        "resources": {"cpu": 8, "memory": 16384, "gpu": True},
    }
    answer = admin.post("/workers/register", json=body)
    assert answer.status_code == 200
    registered = answer.json()
    assert_fields(registered, worker_id=re.compile(r"worker-\w+"), registered_at=TIME)

    beat = {
        "worker_id": registered["worker_id"],
        "status": "idle",
        "current_task": None,
        "resources": {"cpu_usage": 15.5, "memory_usage": 4096},
    }
    answer = admin.post("/workers/heartbeat", json=beat)
    assert answer.status_code == 200
    told = answer.json()
    assert (told["acknowledged"], told["assigned_task"]) == (True, None)

    answer = admin.get("/workers")
    assert answer.status_code == 200
    (worker,) = answer.json()["workers"]
    assert_fields(worker, hostname=str, status=str, last_heartbeat=TIME, capabilities=list)
    assert (worker["id"], worker["hostname"]) == (registered["worker_id"], "worker-node-1")
    # One with a GPU is capable of what every GPU is.
    assert {*worker["capabilities"]} == {*body["capabilities"], "gpu", "ai_acceleration"}
    assert worker["status"] == "idle"


def test_ai_acceleration(fleet: Fleet) -> None:
    """The documented keys and types; what models run with is said as it is."""
    node_id = fleet.node("a", npu=1.0, gpu=1.0)
    npu = device("npu", 0, name="Kirin 9000", utilization=45.5)
    fleet.beat(node_id, devices=[npu, device("gpu", 0, name="Mali-G78", utilization=62.3)])
    answer = fleet.admin.get("/harmony/ai/acceleration")
    assert answer.status_code == 200
    content = answer.json()
    assert_fields(content, npu=dict, gpu=dict, optimizations=dict)
    for kind, model, utilization in (("npu", "Kirin 9000", 45.5), ("gpu", "Mali-G78", 62.3)):
        told = content[kind]
        assert_fields(told, available=bool, model=str, utilization=float)
        assert (told["available"], told["model"], told["utilization"]) == (True, model, utilization)
    assert_fields(content["optimizations"], quantization=str, pruning=str, precision=str)


def test_system_monitoring(fleet: Fleet) -> None:
    """The documented keys, types and values."""
    fleet.beat(fleet.node("a"), host=host_sample())
    answer = fleet.admin.get("/aurora/monitoring/system")
    assert answer.status_code == 200
    content = answer.json()
    assert_fields(content, cpu=dict, memory=dict, disk=dict, network=dict)
    told = [content["cpu"][name] for name in ("usage", "cores", "temperature")]
    assert told == [35.5, 8, 45.2]
    # A client in Go reads no 8.0 into an integer.
    assert_fields(content["cpu"], cores=int)
    for kind, total, used in (("memory", 16384, 8192), ("disk", 512_000, 256_000)):
        told = [content[kind][name] for name in ("total", "used", "available", "percentage")]
        assert told == [total, used, used, 50.0]
    told = [content["network"][name] for name in ("rx_bytes", "tx_bytes")]
    assert told == [1_024_000_000, 512_000_000]


def test_security_metrics(fleet: Fleet) -> None:
    """The documented keys and types; a time that is not known yet is null."""
    answer = fleet.admin.get("/aurora/metrics/security")
    assert answer.status_code == 200
    content = answer.json()
    assert_fields(content, auth_attempts=dict, active_sessions=int, encryption_status=str, security_level=str)
    assert content["auth_attempts"].keys() == {"successful", "failed", "rate"}
    assert content["last_audit"] is None


def test_cluster_status(fleet: Fleet) -> None:
    for name in ("harmony-1", "harmony-2"):
        fleet.beat(fleet.node(name), cpu_usage=58.0)
    fleet.clock.advance(86_400)
    answer = fleet.admin.get("/harmony/cluster/status")
    assert answer.status_code == 200
    status = answer.json()
    assert_fields(status, master_node=dict, worker_nodes=list, total_nodes=int, active_nodes=int)
    assert_fields(status["master_node"], id=str, status=str, uptime=int)
    assert (status["master_node"]["status"], status["master_node"]["uptime"]) == ("active", 86_400)
    for node in status["worker_nodes"]:
        assert_fields(node, id=str, status=str, tasks_completed=int, current_load=float)
    assert [(node["status"], node["current_load"]) for node in status["worker_nodes"]] == [
        ("active", 0.58)
    ] * 2
    assert (status["total_nodes"], status["active_nodes"]) == (3, 3)


def test_distribute(fleet: Fleet) -> None:
    for name in ("harmony-1", "harmony-2"):
        fleet.node(name, gpu=1.0, capabilities=("gpu", "ai_acceleration"))
    # The expected end is measured: something of the kind has to have ended before.
    fleet.end(fleet.submit(), duration_s=90.0)
    body = {
        "task_id": fleet.manual(shards=2),
        "distribution_strategy": "round_robin",
        "required_capabilities": ["gpu", "ai_acceleration"],
    }
    answer = fleet.admin.post("/harmony/distribute", json=body)
    assert answer.status_code == 200
    content = answer.json()
    assert_fields(content, distributed=bool, assigned_nodes=list, estimated_completion=TIME)
    assert content["distributed"] is True
    assert sorted(content["assigned_nodes"]) == ["worker-harmony-1", "worker-harmony-2"]


def test_an_error_has_the_documented_form(admin: httpx.Client) -> None:
    error = error_of(
        admin.post("/tasks", json={"title": "x", "type": "building", "priority": "urgent"}),
        400,
        "VALIDATION_ERROR",
    )
    assert error["message"] == "Invalid task priority"
    assert error["details"]["field"] == "priority"
    assert error["details"]["allowed_values"] == ["low", "normal", "high", "critical"]


def test_rate_limit_headers_are_in_all_responses(admin: httpx.Client) -> None:
    for answer in (admin.get("/tasks"), admin.get("/nope"), admin.delete("/tasks/task-none")):
        for name in ("x-ratelimit-limit", "x-ratelimit-remaining", "x-ratelimit-reset"):
            assert answer.headers[name].isdigit()
