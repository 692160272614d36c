"""Processes that stand still: a control loop that stalls kills nobody, a node that stalls is
replaced and comes back."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import psutil
import pytest

from tests.e2e.live import FINISHED, MASTER, NODE_WORKER, Json, Live, ended, serving, shell, submit
from tests.ray.signals import WAIT_S_MAX, until

NODE_LEASE_S = 4
LEASE_S = 6
STALL_S = 10.0
# A stop stands for a stall here: nobody is to be ended for it.
STALL_S_MAX = 300
FINISH_S_MAX = 60.0


@pytest.fixture(scope="module")
def live(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Live]:
    settings = {"node_lease_s": NODE_LEASE_S, "lease_s": LEASE_S, "nodes": 2, "stopped_s_max": STALL_S_MAX}
    with serving(tmp_path_factory.mktemp("stalls") / "data", **settings) as server:
        yield server


@pytest.fixture(scope="module")
def admin(live: Live) -> httpx.Client:
    return live.client()


def held_up(pid: int, seconds: float) -> None:
    """Stop a process for so long, and let it go on."""
    began = time.monotonic()
    os.kill(pid, signal.SIGSTOP)
    try:
        until(lambda: time.monotonic() - began >= seconds, seconds + WAIT_S_MAX)
    finally:
        os.kill(pid, signal.SIGCONT)


def nodes(client: httpx.Client) -> dict[str, str]:
    """Return the status of every node."""
    status = client.get("/harmony/cluster/status").json()
    return {node["id"]: node["status"] for node in status["worker_nodes"]}


def waiting_for(mark: Path, begun: Path) -> str:
    """Return a shell line that ends when a file is there, and tells by another that it has begun."""
    return f"echo $HELIX_ATTEMPT >> {begun}; until [ -e {mark} ]; do sleep 0.05; done; echo $HELIX_ATTEMPT"


def test_a_stall_of_the_control_loop_kills_nobody(live: Live, admin: httpx.Client, tmp_path: Path) -> None:
    """The master stands still for 10 s, much longer than any lease: nobody is lost, and what runs goes on."""
    mark = tmp_path / "go"
    begun = [tmp_path / f"begun{i}" for i in range(2)]
    ids = submit(admin, *[shell(waiting_for(mark, path)) for path in begun])
    until(lambda: all(path.exists() for path in begun))
    hello: Json = {"hostname": "h", "capabilities": ["design"], "worker_id": "worker_outside"}
    admin.post("/workers/register", json=hello)
    (outside,) = submit(admin, {"title": "by hand", "type": "design"})
    beat = {"worker_id": "worker_outside", "status": "idle", "current_task": None}
    until(lambda: admin.post("/workers/heartbeat", json=beat).json()["assigned_task"] == outside)
    before = live.facts("WorkerLost")
    held_up(live.pid(MASTER), STALL_S)
    busy = {**beat, "status": "busy", "current_task": outside}
    assert admin.post("/workers/heartbeat", json=busy).json()["assigned_task"] == outside
    mark.touch()

    def have_ended() -> bool:
        # It goes on beating meanwhile: on a busy machine the two may take longer than its lease.
        admin.post("/workers/heartbeat", json=busy)
        return all(admin.get(f"/tasks/{task_id}").json()["status"] in FINISHED for task_id in ids)

    until(have_ended)
    assert [ended(admin, task_id)["attempt"] for task_id in ids] == [1, 1]
    assert live.facts("WorkerLost") == before
    assert set(nodes(admin).values()) == {"active"}
    admin.put(f"/tasks/{outside}", json={"status": "completed", "attempt": 1})
    assert ended(admin, outside)["losses"] == 0


def test_a_node_that_stalls_is_replaced_and_used_again(
    live: Live, admin: httpx.Client, tmp_path: Path
) -> None:
    """Its attempts run elsewhere after its lease; what it reports when it goes on does not
    count, and it gets work again."""
    mark = tmp_path / "go"
    begun = [tmp_path / f"begun{i}" for i in range(2)]
    ids = submit(admin, *[shell(waiting_for(mark, path)) for path in begun])
    until(lambda: all(path.exists() for path in begun))
    on = {task_id: admin.get(f"/tasks/{task_id}").json()["assigned_worker"] for task_id in ids}
    slow = live.pids(NODE_WORKER)[0]
    os.kill(slow, signal.SIGSTOP)
    try:
        until(lambda: "lost" in nodes(admin).values())
        (lost,) = [node for node, status in nodes(admin).items() if status == "lost"]
        (moved,) = [task_id for task_id in ids if on[task_id] == lost]
        mark.touch()
        seen = ended(admin, moved, FINISH_S_MAX)
        assert (seen["attempt"], seen["losses"]) == (2, 1)
        assert seen["assigned_worker"] != lost
    finally:
        os.kill(slow, signal.SIGCONT)
    until(lambda: set(nodes(admin).values()) == {"active"})
    assert psutil.pid_exists(slow), "it was stopped, not killed"
    after = submit(admin, *[shell("sleep 0.2") for _ in range(8)])
    assert lost in {ended(admin, task_id)["assigned_worker"] for task_id in after}
    completed = live.facts("TaskCompleted")
    assert [completed[task_id] for task_id in (*ids, *after)] == [1] * 10
