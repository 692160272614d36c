"""A node keeps its worker id, its counters and its logs when everything starts again; cut
off, it ends what it runs."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import httpx

from helix_ray.core.access import SYSTEM
from helix_ray.core.events import Event, Fact, TaskAssigned, WorkerRegistered
from helix_ray.journal.sqlite import SqliteJournal
from helix_ray.security.keys import HEAD_KEY_FILE, load_or_create_key
from tests.e2e.live import MASTER, Json, ended, error_of, serving, shell, submit
from tests.processes import shell_of
from tests.ray.signals import until

FOREIGN: Json = {"hostname": "laptop", "capabilities": ["design"]}
# What the cluster calls its third node.
FOREIGN_ID = "worker-local-2"


def workers(client: httpx.Client) -> dict[str, Json]:
    """Return the workers by id."""
    answer = client.get("/workers")
    assert answer.status_code == 200, answer.text
    return {worker["id"]: worker for worker in answer.json()["workers"]}


def journal_of_before(data_dir: Path, *events: Event) -> None:
    """Add facts to the journal of a server that is down, as an older release left them."""
    keys = load_or_create_key(data_dir, HEAD_KEY_FILE)
    journal = SqliteJournal(data_dir, keys.secrets[keys.current])
    after = journal.head()
    facts = [Fact(after + i, time.time(), SYSTEM.id, "req-old", each) for i, each in enumerate(events, 1)]
    journal.append(facts)
    journal.close()


def test_a_restart_keeps_workers_counters_and_logs(tmp_path: Path) -> None:
    """Started again on its data directory, the same nodes are there, with what they did.

    So they are beside somebody else's worker that has the id of a node to come, from before such ids
    were refused: the node has it, what the other held is queued again, and its next heartbeat tells it
    to register under another.
    """
    with serving(tmp_path / "data", nodes=2) as live:
        client = live.client()
        (task_id,) = submit(client, shell("echo before"))
        assert ended(client, task_id)["status"] == "completed"
        seen = workers(client)
        assert set(seen) == {"worker-local-0", "worker-local-1"}
        assert sum(worker["tasks_completed"] for worker in seen.values()) == 1
        refused = client.post("/workers/register", json={**FOREIGN, "worker_id": FOREIGN_ID})
        error_of(refused, 400, "VALIDATION_ERROR")
        (by_hand,) = submit(client, {"title": "by hand", "type": "design"})
        owner = client.get("/auth/me").json()["id"]
    journal_of_before(
        tmp_path / "data",
        WorkerRegistered(FOREIGN_ID, "external", owner, "laptop", ["design"], {}),
        TaskAssigned(by_hand, 1, FOREIGN_ID),
    )
    with serving(tmp_path / "data", nodes=3) as live:
        client = live.client()
        again = workers(client)
        assert {i: w["kind"] for i, w in again.items()} == dict.fromkeys([*seen, FOREIGN_ID], "node")
        assert {i: again[i]["tasks_completed"] for i in seen} == {
            i: w["tasks_completed"] for i, w in seen.items()
        }
        assert {w["status"] for w in again.values()} <= {"idle", "busy"}
        assert client.get(f"/tasks/{task_id}/logs").text.strip() == "before"
        stale = client.post("/workers/heartbeat", json={"worker_id": FOREIGN_ID, "status": "idle"})
        assert "register" in stale.json()["error"]["message"]
        error_of(stale, 404, "NOT_FOUND")
        assert client.get(f"/tasks/{by_hand}").json()["status"] == "pending"
        mine = client.post("/workers/register", json=FOREIGN).json()["worker_id"]
        given = client.post("/workers/heartbeat", json={"worker_id": mine, "status": "idle"}).json()
        assert (given["assigned_task"], given["attempt"]) == (by_hand, 2)
        pinned = submit(client, *[shell("sleep 0.2") for _ in range(9)])
        assert FOREIGN_ID in {ended(client, each)["assigned_worker"] for each in pinned}


def test_a_node_that_is_not_heard_ends_what_it_runs(tmp_path: Path) -> None:
    """With the master stopped for longer than HELIX_NODE_FENCE_S the command ends;
    afterwards it runs again, once."""
    runs = tmp_path / "runs"
    line = f"echo run >> {runs}; if [ $(wc -l < {runs}) = 1 ]; then sleep 600; fi; echo again"
    with serving(tmp_path / "data", node_fence_s=3, stopped_s_max=60) as live:
        client = live.client()
        (task_id,) = submit(client, shell(line))
        until(runs.exists)
        first = shell_of(line)
        master = live.pid(MASTER)
        os.kill(master, signal.SIGSTOP)
        try:
            until(lambda: not Path(f"/proc/{first}").exists())
        finally:
            os.kill(master, signal.SIGCONT)
        task = ended(client, task_id)
        assert (task["status"], task["losses"]) == ("completed", 1)
        assert live.facts("TaskCompleted")[task_id] == 1
