"""GET /tasks/{id}/explain: why a task is where it is."""

from __future__ import annotations

from helix_ray.wire.times import epoch_of
from tests.http.api_server import error_of
from tests.http.fleet import Fleet


def test_no_node_is_there(fleet: Fleet) -> None:
    """Neither for what nodes run nor for what external workers do."""
    said = fleet.explain(fleet.submit())
    assert (said["verdict"], said["summary"], said["nodes"]) == ("no_nodes", "the cluster has no nodes", [])
    external = fleet.explain(fleet.submit(run=None))
    assert (external["verdict"], external["summary"]) == (
        "no_nodes",
        "no registered worker can run this task",
    )


def test_a_task_that_waits_for_room(fleet: Fleet) -> None:
    """What it lacks where, who goes before it, when it is expected to start and to end,
    and since when it waits."""
    fleet.node("a", 2)
    fleet.end(fleet.submit(resources={"cpu": 2}), duration_s=30.0)
    running = fleet.submit(resources={"cpu": 2})
    first = fleet.submit(resources={"cpu": 2})
    for _ in range(10):
        fleet.clock.advance(1)
        fleet.beat("worker-a")
    said = fleet.explain(first)
    assert (said["verdict"], said["status"], said["assigned_worker"]) == ("waiting", "pending", None)
    assert said["summary"] == "1 of 1 nodes can run it but are busy now"
    (node,) = said["nodes"]
    assert node["failing"][0] == {
        "dimension": "resources.cpu", "asked": 2.0, "has": 0.0, "deficit": 2.0, "kind": "waiting",
    }  # fmt: skip
    assert said["expected_free"] == {
        "node": "worker-a", "in_s": 20.0, "missing": {"cpu": 2.0}, "overrun_s": 0.0,
    }  # fmt: skip
    now = fleet.clock.wall()
    assert (said["queued_ahead"], epoch_of(said["estimated_start"])) == (0, now + 20.0)
    assert epoch_of(said["estimated_completion"]) == now + 50.0
    (wait,) = said["history"]
    assert (wait["reason"], epoch_of(wait["until"]) - epoch_of(wait["since"])) == ("no_room", 10.0)
    second = fleet.submit(resources={"cpu": 2})
    assert fleet.explain(second)["queued_ahead"] == 1
    fleet.end(running)
    after = fleet.explain(first)
    assert (after["verdict"], after["summary"]) == ("running", "it is running")


def test_a_task_that_no_node_could_run(fleet: Fleet) -> None:
    """The node that needs the fewest changes is named, and with these changes it runs."""
    fleet.node("a", 4, labels={"zone": "a"})
    fleet.node("b", 8, labels={"zone": "b"}, capabilities=("cuda",))
    task_id = fleet.submit(resources={"cpu": 6}, labels={"zone": "a"}, required_capabilities=["cuda"])
    said = fleet.explain(task_id)
    assert (said["verdict"], said["summary"]) == ("never", "none of 2 nodes can ever run it")
    assert (said["change_node"], said["nodes_total"]) == ("worker-b", 2)
    assert said["change"] == [{"change": "drop_label", "name": "zone", "value": "a"}]
    changed = {"labels": None}
    assert fleet.admin.put(f"/tasks/{task_id}", json=changed).status_code == 200
    assert fleet.get(task_id)["assigned_worker"] == "worker-b"


def test_a_task_that_waits_for_others(fleet: Fleet) -> None:
    """The unfinished ones are named."""
    first = fleet.manual()
    said = fleet.explain(fleet.submit(depends_on=[first]))
    assert (said["status"], said["verdict"], said["waits_for"]) == ("waiting", "dependencies", [first])


def test_a_task_whose_retry_is_due_later(fleet: Fleet) -> None:
    """Until when it is delayed."""
    fleet.node("a")
    task_id = fleet.submit(max_retries=1, retry_backoff_s=60.0)
    fleet.end(task_id, "failed", error={"reason": "failed", "message": "m"})
    said = fleet.explain(task_id)
    assert (said["verdict"], said["status"]) == ("delayed", "pending")
    assert epoch_of(said["not_before"]) > fleet.clock.wall()
    wanted = {"task_id": task_id}
    error_of(fleet.admin.post("/harmony/distribute", json=wanted), 409, "CONFLICT")


def test_running_and_ended_tasks(fleet: Fleet) -> None:
    """The verdict is the status, and there is nothing more to say."""
    fleet.node("a")
    task_id = fleet.submit()
    said = fleet.explain(task_id)
    assert (said["verdict"], said["assigned_worker"], said["nodes"]) == ("running", "worker-a", [])
    fleet.end(task_id)
    assert fleet.explain(task_id)["verdict"] == "completed"
    error_of(fleet.admin.get("/tasks/task-none/explain"), 404, "NOT_FOUND")


def test_an_urgent_task_takes_a_place(fleet: Fleet) -> None:
    """The least urgent attempt is stopped for a critical task, queued again, and counts no failure."""
    fleet.node("a", 2)
    low, normal = fleet.submit(priority="low"), fleet.submit(priority="normal")
    kept = fleet.submit(priority="critical", resources={"cpu": 1})
    assert [fleet.get(task_id)["status"] for task_id in (low, normal, kept)] == [
        "pending",
        "running",
        "running",
    ]
    task = fleet.get(low)
    assert (task["preemptions"], task["failures"], task["losses"]) == (1, 0, 0)
    assert task["error"] is None or task["error"]["reason"] == "preempted"


def test_what_may_not_be_stopped_is_not(fleet: Fleet) -> None:
    """`preemptible: false` keeps its place, and the explanation of the urgent one has nobody to stop."""
    fleet.node("a", 1)
    fleet.submit(priority="low", preemptible=False)
    said = fleet.explain(fleet.submit(priority="critical"))
    assert (said["verdict"], said["preempts"]) == ("waiting", None)


def test_a_gang_that_waits_says_how_many_fit(fleet: Fleet) -> None:
    """The whole is explained as its shards are placed: together."""
    fleet.node("a", 2)
    task_id = fleet.submit(shards={"count": 3, "gang": True})
    said = fleet.explain(task_id)
    assert (said["verdict"], said["status"]) == ("waiting", "pending")
    assert said["change"] == [{"change": "fewer_shards", "to": 2, "by": 1}]
