"""External workers: the whole protocol with the documented calls, and what protects it."""

from __future__ import annotations

import httpx

from helix_ray.config import Settings
from helix_ray.core.access import SYSTEM
from helix_ray.core.orders import RegisterWorker
from helix_ray.testing import ManualClock
from helix_ray.wire.workers import HeartbeatOut, WorkerOut, WorkersOut
from tests.http.api_server import TASK, Api, error_of, serving_api
from tests.http.shapes import shaped

HELLO = {
    "hostname": "worker-node-1",
    "capabilities": ["planning", "building"],
    "resources": {"cpu": 8, "gpu": True},
}


def register(client: httpx.Client, **fields: object) -> str:
    answer = client.post("/workers/register", json={**HELLO, **fields})
    assert answer.status_code == 200, answer.text
    worker_id: str = answer.json()["worker_id"]
    return worker_id


def beat(client: httpx.Client, worker_id: str, **fields: object) -> dict[str, object]:
    answer = client.post("/workers/heartbeat", json={"worker_id": worker_id, "status": "idle", **fields})
    assert answer.status_code == 200, answer.text
    content: dict[str, object] = answer.json()
    shaped(HeartbeatOut, content)
    return content


def test_a_worker_does_a_whole_job_with_the_documented_calls_alone() -> None:
    """Register, heartbeat, GET the task, PUT progress, PUT the end; a user with the role worker is enough."""
    with serving_api() as api:
        owner, worker = api.client(), api.add("hand", "worker")
        worker_id = register(worker)
        assert beat(worker, worker_id)["assigned_task"] is None
        task_id = api.submit(owner, type="building")
        error_of(worker.get(f"/tasks/{task_id}"), 404, "NOT_FOUND")
        given = beat(worker, worker_id)
        assert (given["assigned_task"], given["attempt"]) == (task_id, 1)
        assert beat(worker, worker_id, status="busy", current_task=task_id)["assigned_task"] == task_id
        task = worker.get(f"/tasks/{task_id}").json()
        assert (task["status"], task["assigned_worker"]) == ("running", worker_id)
        assert worker.put(f"/tasks/{task_id}", json={"progress": 50}).json()["progress"] == 50
        done = {"status": "completed", "progress": 100, "result": {"success": True, "output": "built"}}
        assert worker.put(f"/tasks/{task_id}", json=done).json()["status"] == "completed"
        assert owner.get(f"/tasks/{task_id}/result").json()["result"]["output"] == "built"
        assert beat(worker, worker_id)["assigned_task"] is None
        line = shaped(WorkerOut, owner.get(f"/workers/{worker_id}").json())
        assert (line["tasks_completed"], line["status"]) == (1, "idle")


def while_only_one_is_heard(
    api: Api, clock: ManualClock, lease_s: float, client: httpx.Client, worker_id: str
) -> None:
    """Let leases end but one worker's. The judge must not have been stalled itself: it
    looks on while time passes."""
    api.plane.react()
    clock.advance(lease_s / 2)
    for _ in range(int(lease_s)):
        beat(client, worker_id, status="busy")
        clock.advance(1.0)
        api.plane.react()


def test_a_late_worker_is_fenced_off() -> None:
    """After the lease ends the task goes to another worker, and the first one's result is a conflict."""
    clock, settings = ManualClock(), Settings()
    with serving_api(settings, clock=clock) as api:
        owner, slow, fast = api.client(), api.add("slow", "worker"), api.add("fast", "worker")
        slow_id, fast_id = register(slow), register(fast)
        task_id = api.submit(owner)
        assert beat(slow, slow_id)["attempt"] == 1
        while_only_one_is_heard(api, clock, settings.lease_s, fast, fast_id)
        assert owner.get(f"/workers/{slow_id}").json()["status"] == "lost"
        given = beat(fast, fast_id)
        assert (given["assigned_task"], given["attempt"]) == (task_id, 2)
        error_of(slow.put(f"/tasks/{task_id}", json={"status": "completed"}), 409, "CONFLICT")
        late = {"status": "completed", "attempt": 1, "worker_id": slow_id}
        error_of(owner.put(f"/tasks/{task_id}", json=late), 409, "CONFLICT")
        done = {"status": "completed", "attempt": 2, "worker_id": fast_id}
        assert fast.put(f"/tasks/{task_id}", json=done).status_code == 200


def test_the_late_report_of_one_worker_is_not_the_next_ones() -> None:
    """Two workers of one user, and calls of the documented client, which names no attempt: refused as
    ambiguous, and told who has the task. With the heartbeat's attempt each is heard for itself."""
    clock, settings = ManualClock(), Settings()
    with serving_api(clock=clock) as api:
        owner, worker = api.client(), api.add("twins", "worker")
        first, second = register(worker), register(worker)
        task_id = api.submit(owner, type="building")
        assert beat(worker, first)["attempt"] == 1
        while_only_one_is_heard(api, clock, settings.lease_s, worker, second)
        given = beat(worker, second)
        assert (given["assigned_task"], given["attempt"]) == (task_id, 2)
        done = {"status": "completed", "progress": 100, "result": {"by": "first"}}
        for named, reason in (
            ({}, "ambiguous"),
            ({"attempt": 1}, "lease_expired"),
            ({"worker_id": first}, "lease_expired"),
        ):
            details = error_of(worker.put(f"/tasks/{task_id}", json={**done, **named}), 409, "CONFLICT")[
                "details"
            ]
            assert (details["reason"], details["assigned_worker"], details["current_attempt"]) == (
                reason,
                second,
                2,
            )
        mine = {**done, "result": {"by": "second"}, "attempt": given["attempt"]}
        assert worker.put(f"/tasks/{task_id}", json=mine).status_code == 200
        assert worker.put(f"/tasks/{task_id}", json=mine).status_code == 200
        assert owner.get(f"/tasks/{task_id}/result").json()["result"] == {"by": "second"}
        late = error_of(worker.put(f"/tasks/{task_id}", json={**done, "attempt": 1}), 409, "CONFLICT")[
            "details"
        ]
        assert (late["reason"], late["assigned_worker"]) == ("lease_expired", None)


def test_draining_and_back(api: Api, admin: httpx.Client) -> None:
    worker_id = register(admin, capabilities=["testing"])
    assert admin.post(f"/workers/{worker_id}/drain").json() == {"worker_id": worker_id, "draining": True}
    task_id = api.submit(admin, type="testing")
    assert beat(admin, worker_id)["assigned_task"] is None
    assert admin.get(f"/workers/{worker_id}").json()["status"] == "draining"
    admin.post(f"/workers/{worker_id}/drain", json={"draining": False})
    assert beat(admin, worker_id)["assigned_task"] == task_id
    shaped(WorkersOut, admin.get("/workers").json())


def test_a_worker_that_comes_back_with_another_boot_has_lost_its_task(api: Api, admin: httpx.Client) -> None:
    worker_id = register(admin, capabilities=["design"], boot="one")
    task_id = api.submit(admin, type="design")
    assert beat(admin, worker_id, boot="one")["assigned_task"] == task_id
    assert register(admin, capabilities=["design"], worker_id=worker_id, boot="two") == worker_id
    assert admin.get(f"/tasks/{task_id}").json()["status"] == "pending"
    answer = admin.post("/workers/heartbeat", json={"worker_id": worker_id, "boot": "one"})
    error_of(answer, 404, "NOT_FOUND")


def test_nobody_speaks_for_the_worker_of_another(api: Api, admin: httpx.Client) -> None:
    worker_id = register(admin)
    thief = api.add("thief", "worker")
    error_of(thief.post("/workers/heartbeat", json={"worker_id": worker_id}), 404, "NOT_FOUND")
    error_of(thief.post("/workers/register", json={**HELLO, "worker_id": worker_id}), 404, "NOT_FOUND")


def test_an_id_of_a_node_is_refused_to_everybody_else(api: Api, admin: httpx.Client) -> None:
    """Whether a node has it yet or not; one that is given by the server is none that a node could have."""
    thief = api.add("namesake", "worker")
    for client in (admin, thief):
        for worker_id in ("worker-local-2", "worker-0123456789ab", "worker-Local-2", "worker-host1.example"):
            answer = client.post("/workers/register", json={**HELLO, "worker_id": worker_id})
            error = error_of(answer, 400, "VALIDATION_ERROR")
            assert (error["details"]["field"], "omit worker_id" in error["message"]) == (
                "worker_id",
                True,
            )
    given = register(thief)
    assert given.startswith("worker-ext_")
    assert register(thief, worker_id=given) == given
    assert register(thief, worker_id="porter_1") == "porter_1"


def test_an_administrator_removes_a_worker(api: Api, admin: httpx.Client) -> None:
    """What it held is queued again, and it hears what to do; nobody else may; a node that
    is up has to be drained."""
    worker = api.add("leaver", "worker")
    worker_id = register(worker, capabilities=["diagram"])
    task_id = api.submit(admin, type="diagram")
    assert beat(worker, worker_id)["assigned_task"] == task_id
    error_of(worker.delete(f"/workers/{worker_id}"), 403, "FORBIDDEN")
    assert admin.delete(f"/workers/{worker_id}").status_code == 204
    error_of(admin.delete(f"/workers/{worker_id}"), 404, "NOT_FOUND")
    assert admin.get(f"/tasks/{task_id}").json()["status"] == "pending"
    answer = worker.post("/workers/heartbeat", json={"worker_id": worker_id})
    assert "/workers/register" in error_of(answer, 404, "NOT_FOUND")["message"]
    node = RegisterWorker(
        "h", (), {"cpu": 1.0}, worker_id="worker-to-go", kind="node", node_id="n", boot="boot"
    )
    api.plane.give(node, SYSTEM)
    details = error_of(admin.delete("/workers/worker-to-go"), 409, "CONFLICT")["details"]
    assert details == {"id": "worker-to-go", "draining": False, "running_total": 0}
    admin.post("/workers/worker-to-go/drain")
    assert admin.delete("/workers/worker-to-go").status_code == 204


def test_what_is_no_worker_is_refused(admin: httpx.Client) -> None:
    for fields, field in (
        ({"hostname": ""}, "hostname"),
        ({"hostname": "a\x1b[31mb"}, "hostname"),
        ({"hostname": "a/b"}, "hostname"),
        ({"hostname": "a\n"}, "hostname"),
        ({"worker_id": "a/../b"}, "worker_id"),
        ({"worker_id": "a\x00b"}, "worker_id"),
        ({"labels": {"zone": "a\x07"}}, "labels"),
        ({"capabilities": "planning"}, "capabilities"),
        ({"capabilities": ["a b"]}, "capabilities.0"),
        ({"resources": {"cpu": -1}}, "resources.cpu"),
        ({"kind": "node"}, "kind"),
    ):
        answer = admin.post("/workers/register", json={**HELLO, **fields})
        error = error_of(answer, 400, "VALIDATION_ERROR")
        assert error["details"]["field"].startswith(field)
    error_of(admin.post("/workers/heartbeat", json={}), 400, "VALIDATION_ERROR")
    error_of(admin.post("/workers/heartbeat", json={"worker_id": "worker-none"}), 404, "NOT_FOUND")
    error_of(admin.get("/workers/worker-none"), 404, "NOT_FOUND")
    error_of(admin.post("/workers/worker-none/drain"), 404, "NOT_FOUND")


def test_a_worker_takes_only_what_it_can_do(api: Api, admin: httpx.Client) -> None:
    worker_id = register(admin, capabilities=["porting"], resources={"memory": 1024, "gpu": True})
    for needs in ({"memory_mb": 2048}, {"gpu": 2}):
        api.submit(admin, type="porting", resources=needs)
    api.submit(admin, type="porting", required_capabilities=["risc-v"])
    assert beat(admin, worker_id)["assigned_task"] is None
    fits = api.submit(admin, type="porting", resources={"memory_mb": 512, "gpu": 1}, priority="low")
    assert beat(admin, worker_id)["assigned_task"] == fits
    assert TASK["type"] == "planning"


def test_an_amount_that_would_be_rounded_is_refused(api: Api) -> None:
    """2^53 + 1 has no float of its own: it is refused, and not counted as 2^53."""
    client = api.client()
    for resources in ({"tokens": 2**53 + 1}, {"tokens": 2**53}):
        body = {**HELLO, "resources": resources}
        error_of(client.post("/workers/register", json=body), 400, "VALIDATION_ERROR")
    register(client, resources={"tokens": 2**53 - 1})
