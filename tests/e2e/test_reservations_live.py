"""A task that needs a whole node, among small ones that keep coming: on a real
server, with real processes."""

from __future__ import annotations

from pathlib import Path

import httpx

from tests.e2e.live import Json, ended, serving, shell, submit
from tests.ray.signals import until

SETTINGS = {"reserve_after_s": 1, "node_resources": '[{"CPU":2}]', "nodes": 1}
SMALL_AT_ONCE = 40
FINISH_S_MAX = 120.0


def explained(client: httpx.Client, task_id: str) -> Json:
    """Ask why a task is where it is."""
    found: Json = client.get(f"/tasks/{task_id}/explain").json()
    return found


def test_a_large_task_is_not_overtaken_for_ever(tmp_path: Path) -> None:
    """Small ones fill every gap until it has waited; then the node is kept for it, and everybody is told."""
    with serving(tmp_path / "data", **SETTINGS) as live:
        client = live.client()
        go = tmp_path / "go"
        # Two that never end together: the gap that one leaves is filled before the other ends.
        held_up = shell(f"until [ -e {go} ]; do sleep 0.05; done")
        blocking = submit(client, held_up, shell("sleep 0.2"))
        until(lambda: explained(client, blocking[0])["status"] == "running")
        (large,) = submit(client, shell("echo all of it", resources={"cpu": 2}))
        small = submit(client, *[shell("sleep 0.2") for _ in range(SMALL_AT_ONCE)])
        until(lambda: explained(client, large)["holds"] != [])
        (node,) = explained(client, large)["holds"]
        assert client.get(f"/harmony/nodes/{node}").json()["held_for"] == large
        until(lambda: explained(client, small[-1])["history"][-1:] != [])
        until(lambda: explained(client, small[-1])["history"][-1]["reason"] == "held")
        assert large in explained(client, small[-1])["summary"]
        go.touch()
        seen = [ended(client, task_id, FINISH_S_MAX) for task_id in (large, *small)]
        assert {task["status"] for task in seen} == {"completed"}
        started = [task["started_at"] for task in seen]
        assert started[0] < max(started[1:]), "the large one came last"
        assert explained(client, large)["verdict"] == "completed"
        assert client.get(f"/harmony/nodes/{node}").json()["held_for"] is None
