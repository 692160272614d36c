"""A node keeps its worker id, its counters and its logs when everything starts again; cut off, it ends what it runs."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import httpx

from tests.e2e.live import MASTER, Json, ended, serving, shell, submit
from tests.ray.signals import until


def workers(client: httpx.Client) -> dict[str, Json]:
    """Return the workers by id."""
    answer = client.get("/workers")
    assert answer.status_code == 200, answer.text
    return {worker["id"]: worker for worker in answer.json()["workers"]}


def test_a_restart_keeps_workers_counters_and_logs(tmp_path: Path) -> None:
    """Started again on its data directory, the same nodes are there, with what they did."""
    with serving(tmp_path / "data", nodes=2) as live:
        client = live.client()
        (task_id,) = submit(client, shell("echo before"))
        assert ended(client, task_id)["status"] == "completed"
        seen = workers(client)
        assert set(seen) == {"worker-local-0", "worker-local-1"}
        assert sum(worker["tasks_completed"] for worker in seen.values()) == 1
    with serving(tmp_path / "data", nodes=2) as live:
        client = live.client()
        again = workers(client)
        assert set(again) == set(seen)
        assert {i: w["tasks_completed"] for i, w in again.items()} == {
            i: w["tasks_completed"] for i, w in seen.items()
        }
        assert {w["status"] for w in again.values()} <= {"idle", "busy"}
        assert client.get(f"/tasks/{task_id}/logs").text.strip() == "before"


def test_a_node_that_is_not_heard_ends_what_it_runs(tmp_path: Path) -> None:
    """With the master stopped for longer than HELIX_NODE_FENCE_S the command ends; afterwards it runs again, once."""
    pids = tmp_path / "pids"
    line = f"echo $$ >> {pids}; if [ $(wc -l < {pids}) = 1 ]; then exec sleep 600; fi; echo again"
    with serving(tmp_path / "data", node_fence_s=3, stopped_s_max=60) as live:
        client = live.client()
        (task_id,) = submit(client, shell(line))
        until(lambda: pids.exists() and pids.read_text().endswith("\n"))
        first = int(pids.read_text())
        master = live.pid(MASTER)
        os.kill(master, signal.SIGSTOP)
        try:
            until(lambda: not Path(f"/proc/{first}").exists(), 30.0)
        finally:
            os.kill(master, signal.SIGCONT)
        task = ended(client, task_id)
        assert (task["status"], task["losses"]) == ("completed", 1)
        assert live.facts("TaskCompleted")[task_id] == 1
