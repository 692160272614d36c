"""The cluster and its nodes over HTTP: status, usage, draining, quarantine, and who may do what."""

from __future__ import annotations

from helix_ray.wire.nodes import ClusterStatusOut, NodeOut, NodesOut
from tests.http.api_server import error_of
from tests.http.fleet import Fleet
from tests.http.shapes import shaped


def test_the_status_counts_the_master_and_every_node(fleet: Fleet) -> None:
    """All documented fields: load as measured, null where it was not; a drained, resting or
    lost node is not active."""
    first, second, third = (fleet.node(name) for name in ("a", "b", "c"))
    fleet.beat(first, cpu_usage=65.0)
    task_id = fleet.submit()
    holder = fleet.get(task_id)["assigned_worker"]
    fleet.end(task_id, result={"success": True})
    fleet.clock.advance(90.5)
    fleet.admin.post(f"/harmony/nodes/{second}/drain")
    fleet.lose(third)
    answer = fleet.admin.get("/harmony/cluster/status")
    assert answer.status_code == 200
    content = answer.json()
    shaped(ClusterStatusOut, content)
    master = content["master_node"]
    assert (master["id"], master["status"], master["uptime"]) == ("helix-master", "active", 90)
    nodes = {node["id"]: node for node in content["worker_nodes"]}
    assert [nodes[name]["status"] for name in (first, second, third)] == ["active", "draining", "lost"]
    assert (nodes[first]["current_load"], nodes[second]["current_load"]) == (0.65, None)
    assert {name for name, node in nodes.items() if node["tasks_completed"] == 1} == {holder}
    assert (content["total_nodes"], content["active_nodes"]) == (4, 2)


def test_external_workers_are_no_nodes(fleet: Fleet) -> None:
    """They are listed under /workers."""
    hello = {"hostname": "h", "capabilities": ["planning"]}
    worker_id = fleet.admin.post("/workers/register", json=hello).json()["worker_id"]
    assert fleet.admin.get("/harmony/cluster/status").json()["total_nodes"] == 1
    error_of(fleet.admin.get(f"/harmony/nodes/{worker_id}"), 404, "NOT_FOUND")
    error_of(fleet.admin.post(f"/harmony/nodes/{worker_id}/drain"), 404, "NOT_FOUND")


def test_a_node_says_who_uses_it(fleet: Fleet) -> None:
    """What is ours, what others use, what is left, and which resources are logical only."""
    node_id = fleet.node("a", 4, gpu=1.0, labels={"helix-simulated": "GPU"}, capabilities=("cuda",))
    fleet.beat(node_id, cpu_usage=10.0, foreign={"cpu": 1.0})
    task_id = fleet.submit(resources={"cpu": 2})
    node = fleet.admin.get(f"/harmony/nodes/{node_id}").json()
    shaped(NodeOut, node)
    assert node["resources"] == {"cpu": 4.0, "gpu": 1.0}
    assert (node["allocated"], node["foreign"]) == ({"cpu": 2.0}, {"cpu": 1.0})
    assert node["free"] == {"cpu": 1.0, "gpu": 1.0}
    assert (node["simulated"], node["capabilities"]) == (["gpu"], ["ai_acceleration", "cuda", "gpu"])
    assert (node["running"], node["running_total"]) == ([task_id], 1)
    listed = fleet.admin.get("/harmony/nodes").json()
    shaped(NodesOut, listed)
    assert listed["nodes"] == [node]


def test_a_drained_node_gets_nothing_until_it_is_undrained(fleet: Fleet) -> None:
    """What it runs goes on; the explanation names the drain; twice is once."""
    node_id = fleet.node("a")
    running = fleet.submit()
    for _ in range(2):
        answer = fleet.admin.post(f"/harmony/nodes/{node_id}/drain")
        assert (answer.status_code, answer.json()["status"]) == (200, "draining")
    waiting = fleet.submit()
    assert [fleet.get(task_id)["status"] for task_id in (running, waiting)] == ["running", "pending"]
    assert fleet.explain(waiting)["change"] == [{"change": "undrain", "node": node_id}]
    assert fleet.distribute(waiting)["distributed"] is False
    assert fleet.admin.post(f"/harmony/nodes/{node_id}/undrain").json()["status"] == "active"
    assert fleet.get(waiting)["status"] == "running"
    error_of(fleet.admin.post("/harmony/nodes/worker-none/drain"), 404, "NOT_FOUND")


def test_a_node_that_keeps_going_away_rests(fleet: Fleet) -> None:
    """Three losses within ten minutes: it is back, but gets no tasks until its quarantine is over."""
    for boot in range(3):
        node_id = fleet.node("a", boot=f"boot-{boot}")
        fleet.lose(node_id)
        fleet.clock.advance(10)
    fleet.node("a")
    node = fleet.admin.get(f"/harmony/nodes/{node_id}").json()
    assert (node["status"], len(node["lost_at"])) == ("resting", 3)
    assert node["rests_until"] > node["last_heartbeat"]
    waiting = fleet.submit()
    (verdict,) = fleet.explain(waiting)["nodes"]
    assert (verdict["verdict"], verdict["failing"][0]["has"]) == ("waiting", "resting")
    fleet.clock.advance(60)
    fleet.beat(node_id)
    fleet.api.plane.react()
    assert fleet.admin.get(f"/harmony/nodes/{node_id}").json()["status"] == "active"
    assert fleet.get(waiting)["status"] == "running"


def test_who_may_what(fleet: Fleet) -> None:
    """Viewers and developers read; developers distribute; administrators drain and set
    quotas; workers do neither."""
    node_id = fleet.node("a")
    task_id = fleet.manual()
    reads = (
        "/harmony/cluster/status",
        "/harmony/nodes",
        f"/harmony/nodes/{node_id}",
        "/harmony/quotas",
    )
    viewer, developer = fleet.api.add("vera", "viewer"), fleet.api.add("dave", "developer")
    worker = fleet.api.add("wim", "worker")
    for path in reads:
        assert viewer.get(path).status_code == developer.get(path).status_code == 200
        error_of(worker.get(path), 403, "FORBIDDEN")
        error_of(fleet.api.anonymous().get(path), 401, "UNAUTHORIZED")
    assert viewer.get(f"/tasks/{task_id}/explain").status_code == 200
    error_of(developer.get(f"/tasks/{task_id}/explain"), 404, "NOT_FOUND")
    error_of(worker.get(f"/tasks/{task_id}/explain"), 403, "FORBIDDEN")
    wanted = {"task_id": task_id}
    error_of(viewer.post("/harmony/distribute", json=wanted), 403, "FORBIDDEN")
    error_of(worker.post("/harmony/distribute", json=wanted), 403, "FORBIDDEN")
    error_of(developer.post("/harmony/distribute", json=wanted), 404, "NOT_FOUND")
    for client in (viewer, developer, worker):
        error_of(client.post(f"/harmony/nodes/{node_id}/drain"), 403, "FORBIDDEN")
        error_of(client.put("/harmony/quotas/p", json={"limits": {}}), 403, "FORBIDDEN")
