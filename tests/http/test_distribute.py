"""POST /harmony/distribute: where a task is started, and why it is not."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from helix_ray.core.placement import STRATEGIES
from helix_ray.wire.times import epoch_of
from tests.http.api_server import error_of
from tests.http.fleet import Fleet

KEY = "Idempotency-Key"


def refused(fleet: Fleet, status: int, code: str, **wanted: Any) -> dict[str, Any]:
    return error_of(fleet.admin.post("/harmony/distribute", json=wanted), status, code)


def test_a_task_for_external_workers_goes_to_one_that_asks_next(fleet: Fleet) -> None:
    """The documented request: the worker is named in the answer, and hears of it with its next heartbeat."""
    hello = {"hostname": "h", "capabilities": ["building", "gpu", "ai_acceleration"]}
    ids = [fleet.admin.post("/workers/register", json=hello).json()["worker_id"] for _ in range(2)]
    task_id = fleet.api.submit(fleet.admin, type="building")
    answer = fleet.distribute(
        task_id, distribution_strategy="round_robin", required_capabilities=["gpu", "ai_acceleration"]
    )
    (chosen,) = answer["assigned_nodes"]
    assert (answer["distributed"], answer["estimated_completion"]) == (True, None)
    for worker_id in ids:
        beat = fleet.admin.post("/workers/heartbeat", json={"worker_id": worker_id, "status": "idle"}).json()
        assert beat["assigned_task"] == (task_id if worker_id == chosen else None)
    done = {"status": "completed", "progress": 100, "result": {"success": True}}
    assert fleet.admin.put(f"/tasks/{task_id}", json=done).status_code == 200
    assert fleet.get(task_id)["required_capabilities"] == ["gpu", "ai_acceleration"]


def test_manual_tasks_wait_for_it(fleet: Fleet) -> None:
    """No node, and no external worker that asks, gets one before somebody distributes it."""
    fleet.node("a")
    hello = {"hostname": "h", "capabilities": ["planning"]}
    worker_id = fleet.admin.post("/workers/register", json=hello).json()["worker_id"]
    for_nodes, for_workers = fleet.manual(), fleet.manual(run=None)
    beat = {"worker_id": worker_id, "status": "idle"}
    assert fleet.admin.post("/workers/heartbeat", json=beat).json()["assigned_task"] is None
    for task_id in (for_nodes, for_workers):
        said = fleet.explain(task_id)
        assert (said["status"], said["verdict"]) == ("pending", "manual")
        assert fleet.distribute(task_id)["distributed"] is True
    assert fleet.admin.post("/workers/heartbeat", json=beat).json()["assigned_task"] == for_workers
    assert fleet.get(for_nodes)["assigned_worker"] == "worker-a"


def test_a_manual_task_whose_node_is_lost_is_placed_again_by_itself(fleet: Fleet) -> None:
    """From its distribution on it has the strategy that it was distributed by."""
    for name in "ab":
        fleet.node(name)
    task_id = fleet.manual()
    (first,) = fleet.distribute(task_id, distribution_strategy="spread")["assigned_nodes"]
    fleet.lose(first)
    task = fleet.get(task_id)
    assert (task["status"], task["strategy"], task["attempt"]) == ("running", "spread", 2)
    assert task["assigned_worker"] != first


def test_round_robin_goes_round(fleet: Fleet) -> None:
    """Three nodes in turn, then the first again."""
    nodes = {fleet.node(name) for name in "abc"}
    given = [
        fleet.distribute(fleet.manual(), distribution_strategy="round_robin")["assigned_nodes"][0]
        for _ in range(4)
    ]
    assert set(given[:3]) == nodes
    assert given[3] == given[0]


@pytest.mark.parametrize(
    ("strategy", "chosen"),
    [
        ("load_balanced", "worker-large"),
        ("spread", "worker-large"),
        ("pack", "worker-busy"),
        ("capability_based", "worker-busy"),
    ],
)
def test_strategies_choose(fleet: Fleet, strategy: str, chosen: str) -> None:
    """The emptiest, the one with the fewest tasks, the fullest, the one with the
    least that is not asked for."""
    fleet.node("busy", 4)
    fleet.submit()
    fleet.node("large", 32, gpu=1.0)
    answer = fleet.distribute(fleet.manual(), distribution_strategy=strategy)
    assert (answer["assigned_nodes"], answer["strategy"]) == ([chosen], strategy)


def test_shards_go_to_several_nodes_and_their_results_come_in_order(fleet: Fleet) -> None:
    """The whole is running from the first start on; progress counts shards; the last one completes it."""
    nodes = {fleet.node(name) for name in "abc"}
    task_id = fleet.manual(shards=3)
    answer = fleet.distribute(task_id, distribution_strategy="round_robin")
    assert (set(answer["assigned_nodes"]), answer["shards_waiting"]) == (nodes, 0)
    assert fleet.get(task_id)["status"] == "running"
    for index in (2, 0, 1):
        shard = fleet.get(f"{task_id}-s{index}")
        assert shard["shard"] == {"of": task_id, "index": index, "count": 3, "gang": False}
        fleet.end(f"{task_id}-s{index}", result={"success": True, "value": index})
    task = fleet.get(task_id)
    assert (task["status"], task["shards"]["completed"], task["progress"]) == ("completed", 3, 100)
    result = fleet.admin.get(f"/tasks/{task_id}/result").json()["result"]
    assert [part["value"] for part in result["shards"]] == [0, 1, 2]


def test_shards_without_room_follow(fleet: Fleet) -> None:
    """Two slots for three shards: the response counts the third, which starts when there is room."""
    for name in "ab":
        fleet.node(name, 1)
    task_id = fleet.manual(shards=3)
    answer = fleet.distribute(task_id)
    assert (answer["distributed"], answer["shards_waiting"]) == (True, 1)
    assert fleet.get(f"{task_id}-s2")["status"] == "pending"
    fleet.end(f"{task_id}-s0", result={"success": True, "value": 0})
    assert fleet.get(f"{task_id}-s2")["status"] == "running"


def test_max_nodes_keeps_shards_together(fleet: Fleet) -> None:
    """On at most so many nodes, however the strategy would spread them."""
    for name in "abc":
        fleet.node(name)
    answer = fleet.distribute(fleet.manual(shards=4), distribution_strategy="spread", max_nodes=2)
    assert len(answer["assigned_nodes"]) == 2
    assert answer["shards_waiting"] == 0


def test_a_gang_starts_whole_or_not_at_all(fleet: Fleet) -> None:
    """Two slots for three: nothing starts, and fewer shards are the smallest
    change; with a third all start."""
    for name in "ab":
        fleet.node(name, 1)
    task_id = fleet.manual(shards={"count": 3, "gang": True})
    answer = fleet.distribute(task_id)
    assert (answer["distributed"], answer["fits"], answer["assigned_nodes"]) == (False, False, [])
    assert answer["summary"] == "only 2 of 3 shards fit now"
    assert answer["change"] == [{"change": "fewer_shards", "to": 2, "by": 1}]
    assert {fleet.get(f"{task_id}-s{i}")["status"] for i in range(3)} == {"pending"}
    fleet.node("c", 1)
    assert len(fleet.distribute(task_id)["assigned_nodes"]) == 3
    assert {fleet.get(f"{task_id}-s{i}")["status"] for i in range(3)} == {"running"}


def test_a_dry_run_changes_nothing(fleet: Fleet) -> None:
    """It names the nodes that the real one uses then, and the journal is where it was."""
    for name in "ab":
        fleet.node(name)
    task_id = fleet.manual(shards=2)
    before = fleet.api.plane.engine.state.seq
    dry = fleet.distribute(task_id, distribution_strategy="round_robin", dry_run=True)
    assert (dry["distributed"], dry["dry_run"], dry["fits"]) == (False, True, True)
    assert fleet.api.plane.engine.state.seq == before
    assert fleet.get(task_id)["strategy"] == "manual"
    real = fleet.distribute(task_id, distribution_strategy="round_robin")
    assert (real["assigned_nodes"], real["distributed"]) == (dry["assigned_nodes"], True)


def test_what_fits_nowhere_is_told_why(fleet: Fleet) -> None:
    """Per node and in sum, the smallest change, and when room is expected once that can be known."""
    fleet.node("a", 4, labels={"zone": "a"})
    fleet.node("b", 2, labels={"zone": "b"})
    fleet.end(fleet.submit(resources={"cpu": 3}), duration_s=20.0)
    fleet.submit(resources={"cpu": 3})
    task_id = fleet.manual(resources={"cpu": 3})
    answer = fleet.distribute(task_id)
    assert (answer["distributed"], answer["dry_run"], answer["fits"]) == (False, False, False)
    assert answer["summary"] == "1 of 2 nodes can run it but are busy now"
    verdicts = {node["node"]: (node["verdict"], node["failing"][0]) for node in answer["nodes"]}
    cpu = {"dimension": "resources.cpu", "asked": 3.0}
    assert verdicts == {
        "worker-a": ("waiting", {**cpu, "has": 1.0, "deficit": 2.0, "kind": "waiting"}),
        "worker-b": ("never", {**cpu, "has": 2.0, "deficit": 1.0, "kind": "never"}),
    }
    assert {(reason["dimension"], reason["kind"], reason["nodes"]) for reason in answer["reasons"]} == {
        ("resources.cpu", "waiting", 1),
        ("resources.cpu", "never", 1),
    }
    assert answer["change"] == [{"change": "reduce", "resource": "cpu", "to": 2.0, "by": 1.0}]
    assert answer["change_node"] == "worker-b"
    assert answer["expected_free"] == {
        "node": "worker-a",
        "in_s": 20.0,
        "missing": {"cpu": 2.0},
        "overrun_s": 0.0,
    }
    smaller = fleet.manual(resources={"cpu": 2})
    assert fleet.distribute(smaller)["assigned_nodes"] == ["worker-b"]


def test_an_expected_end_is_measured_or_null(fleet: Fleet) -> None:
    """Null with the reason before anything of the kind has ended; then from how long those took."""
    fleet.node("a")
    first = fleet.manual()
    answer = fleet.distribute(first)
    assert answer["estimated_completion"] is None
    assert answer["estimated_completion_reason"] == "no task of this kind has finished yet"
    fleet.end(first, duration_s=12.0)
    told = fleet.distribute(fleet.manual())
    assert epoch_of(told["estimated_completion"]) == pytest.approx(fleet.clock.wall() + 12.0)
    assert told["estimated_completion_p90"] >= told["estimated_completion"]
    assert told["estimated_completion_reason"] == "based on 1 measured runs of this kind"
    other = fleet.distribute(fleet.manual(resources={"cpu": 2}))
    assert other["estimated_completion"] is None


def test_an_unknown_strategy_is_answered_with_the_known_ones(fleet: Fleet) -> None:
    """400 with `allowed_values`."""
    fleet.node("a")
    task_id = fleet.manual()
    error = refused(fleet, 400, "VALIDATION_ERROR", task_id=task_id, distribution_strategy="best")
    assert error["message"] == "Invalid distribution strategy"
    assert error["details"]["allowed_values"] == list(STRATEGIES)
    refused(fleet, 400, "VALIDATION_ERROR", task_id=task_id, distribution_strategy="manual")
    assert fleet.get(task_id)["status"] == "pending"


def test_a_capability_that_no_node_has_is_a_want_that_nothing_meets(fleet: Fleet) -> None:
    """200 with the reasons, as for any other; the submit takes it, and the explanation names it; a
    node that has it may come."""
    fleet.node("a", capabilities=("cuda", "avx"))
    task_id = fleet.manual()
    answer = fleet.distribute(task_id, required_capabilities=["cuda", "flying"])
    assert (answer["distributed"], answer["fits"], answer["assigned_nodes"]) == (False, False, [])
    assert answer["summary"] == "none of 1 nodes can ever run it: no node has the capability flying"
    assert answer["reasons"] == [{"dimension": "capabilities.flying", "kind": "never", "nodes": 1}]
    assert fleet.get(task_id)["status"] == "pending"
    submitted = fleet.submit(required_capabilities=["flying"])
    said = fleet.explain(submitted)
    assert (said["verdict"], said["summary"].partition(": ")[2]) == (
        "never",
        "no node has the capability flying",
    )
    by_worker = fleet.api.submit(fleet.admin, required_capabilities=["flying"])
    assert fleet.distribute(by_worker)["distributed"] is False
    fleet.node("b", capabilities=("flying",))
    assert fleet.get(submitted)["assigned_worker"] == "worker-b"


@pytest.mark.parametrize("device", ["gpu", "npu"])
def test_the_documented_request_on_a_node_with_an_accelerator(fleet: Fleet, device: str) -> None:
    """Every node and worker with a GPU or an NPU is capable of `ai_acceleration`, whatever it
    named when it registered."""
    fleet.node("plain")
    fleet.node("fast", **{device: 1.0})
    fleet.node("none", **{device: 0.0})
    wanted = {"distribution_strategy": "round_robin", "required_capabilities": [device, "ai_acceleration"]}
    assert fleet.distribute(fleet.manual(), **wanted)["assigned_nodes"] == ["worker-fast"]
    hello = {"hostname": "h", "capabilities": ["building"], "resources": {"cpu": 4, device: True}}
    worker_id = fleet.admin.post("/workers/register", json=hello).json()["worker_id"]
    by_worker = fleet.api.submit(fleet.admin, type="building")
    assert fleet.distribute(by_worker, **wanted)["assigned_nodes"] == [worker_id]


def test_a_task_that_runs_where_it_is_wanted_is_distributed(fleet: Fleet) -> None:
    """200 with its nodes and its expected end; asking changes nothing, with a dry run or without."""
    fleet.node("a", gpu=2.0)
    fleet.end(fleet.submit(resources={"gpu": 1}), duration_s=30.0)
    task_id = fleet.submit(resources={"gpu": 1})
    fleet.clock.advance(10.0)
    before = fleet.api.plane.engine.state.seq
    for dry_run in (False, True):
        answer = fleet.distribute(
            task_id, required_capabilities=["gpu", "ai_acceleration"], max_nodes=1, dry_run=dry_run
        )
        assert (answer["distributed"], answer["already_running"], answer["dry_run"]) == (True, True, dry_run)
        assert answer["assigned_nodes"] == ["worker-a"]
        assert epoch_of(answer["estimated_completion"]) == pytest.approx(fleet.clock.wall() + 20.0)
    assert fleet.api.plane.engine.state.seq == before
    fleet.clock.advance(60.0)
    assert epoch_of(fleet.distribute(task_id)["estimated_completion"]) == pytest.approx(fleet.clock.wall())


def test_a_whole_that_runs_names_all_its_nodes(fleet: Fleet) -> None:
    """And how many of its shards still wait; on more nodes than it is wanted on, it runs elsewhere."""
    for name in "ab":
        fleet.node(name, 1)
    task_id = fleet.manual(shards=3)
    fleet.distribute(task_id)
    answer = fleet.distribute(task_id)
    assert (answer["already_running"], answer["shards_waiting"]) == (True, 1)
    assert set(answer["assigned_nodes"]) == {"worker-a", "worker-b"}
    error = refused(fleet, 409, "CONFLICT", task_id=task_id, max_nodes=1)
    assert set(error["details"]["assigned_nodes"]) == {"worker-a", "worker-b"}


def test_a_task_that_runs_elsewhere_is_a_conflict_that_says_where(fleet: Fleet) -> None:
    """With its nodes, what they lack, and what to do; a person who works on it is on no node."""
    fleet.node("a")
    task_id = fleet.submit()
    error = refused(fleet, 409, "CONFLICT", task_id=task_id, required_capabilities=["gpu"])
    details = error["details"]
    assert (details["status"], details["assigned_nodes"]) == ("running", ["worker-a"])
    assert details["missing_capabilities"] == ["gpu"]
    assert "worker-a" in error["message"]
    assert "cancel" in error["message"]
    by_hand = fleet.api.submit(fleet.admin)
    fleet.admin.put(f"/tasks/{by_hand}", json={"status": "running"})
    error = refused(fleet, 409, "CONFLICT", task_id=by_hand)
    assert error["details"]["assigned_nodes"] == []
    assert "A user is working" in error["message"]


def test_a_key_outlives_the_room(fleet: Fleet) -> None:
    """A task that was started, and whose node is gone, is answered with its start: that is what was asked."""
    node_id = fleet.node("a")
    body = {"task_id": fleet.manual()}
    first = fleet.admin.post("/harmony/distribute", json=body, headers={KEY: "one"})
    fleet.lose(node_id)
    assert fleet.get(body["task_id"])["status"] == "pending"
    again = fleet.admin.post("/harmony/distribute", json=body, headers={KEY: "one"})
    assert (again.json(), again.headers["idempotency-replayed"]) == (first.json(), "true")


def test_a_key_gives_the_first_answer_again(fleet: Fleet) -> None:
    """Word for word, though the task runs by then; another body is a conflict; what
    did not start is not kept."""
    fleet.node("a", 1)

    def ask(task_id: str, key: str, **fields: Any) -> httpx.Response:
        body = {"task_id": task_id, **fields}
        return fleet.admin.post("/harmony/distribute", json=body, headers={KEY: key})

    task_id, late = fleet.manual(), fleet.manual()
    first = ask(task_id, "one")
    assert (first.status_code, first.json()["distributed"]) == (200, True)
    again = ask(task_id, "one")
    assert again.json() == first.json()
    assert again.headers["idempotency-replayed"] == "true"
    assert "idempotency-replayed" not in first.headers
    error_of(ask(task_id, "one", max_nodes=1), 409, "CONFLICT")
    assert ask(task_id, "other").json()["already_running"] is True
    assert ask(late, "two").json()["distributed"] is False
    fleet.end(task_id)
    assert ask(late, "two").json()["distributed"] is True
    fleet.admin.delete(f"/tasks/{task_id}")
    assert ask(task_id, "one").json() == first.json()
