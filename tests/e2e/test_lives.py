"""Every process of a live server comes back: killed, stopped for a while, or failing its next start; or the server ends.

One server for all of it, under a client that never stops: served again within SERVED_S_MAX, everything that was
acknowledged is there, nothing came to two outcomes, every task ends. The long stops are for `make chaos`.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import psutil
import pytest

from tests.conftest import free_port
from tests.e2e.live import (
    EXECUTOR,
    MASTER,
    NODE_WORKER,
    REPLICA,
    SUPERVISOR,
    Json,
    Live,
    ended,
    function,
    serving,
    submit,
)
from tests.ray.signals import until

HISTORIAN = "ray::Historian"
RAYLET = "raylet"
KINDS = (MASTER, HISTORIAN, SUPERVISOR, NODE_WORKER, EXECUTOR, REPLICA, RAYLET)
SERVED_S_MAX = 15.0
# The machine of a test may be busy with other tests: what is promised is SERVED_S_MAX on one of its own.
PATIENCE_S = 3 * SERVED_S_MAX
STOPPED_S = 20.0
# A node's return, while others serve: Ray has to declare its old self dead, and its name is held for a while.
NODE_BACK_S_MAX = 120.0
NODES = 2
# Libraries that are heavy, and the processes that have use for them at rest.
LIBRARIES: dict[str, set[str]] = {
    "/_duckdb": {HISTORIAN},
    "/cryptography/": {REPLICA},
    "/_argon2_cffi_bindings/": {REPLICA},
    "/onnxruntime/": set(),
}


class Load(threading.Thread):
    """A client that submits one task after the other, sends again what was not answered, and keeps what was acknowledged."""

    def __init__(self, client: httpx.Client) -> None:
        super().__init__(daemon=True)
        self.ids: list[str] = []
        self.refused: list[str] = []
        self._client = client
        self._stop_it = threading.Event()

    def run(self) -> None:
        """Go on until told to end."""
        number = 0
        while not self._stop_it.is_set():
            number += 1
            self._submit(f"{id(self)}-{number}")
            self._stop_it.wait(0.05)

    def _submit(self, key: str) -> None:
        while not self._stop_it.is_set():
            with contextlib.suppress(httpx.TransportError):
                headers = {"Idempotency-Key": key}
                answer = self._client.post("/tasks", json=function("add", 1, 1), headers=headers)
                if answer.status_code == 201:
                    self.ids.append(answer.json()["id"])
                    return
                if answer.status_code != 503:
                    self.refused.append(answer.text)
                    return
            self._stop_it.wait(0.1)

    def finish(self) -> list[str]:
        """End; return the ids of all that was acknowledged."""
        self._stop_it.set()
        self.join()
        assert self.refused == []
        return self.ids


@pytest.fixture(scope="module")
def live(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Live]:
    settings = {"nodes": NODES, "retention_s": 2, "losses_max": 1000}
    with serving(tmp_path_factory.mktemp("lives") / "data", **settings) as server:
        yield server


@pytest.fixture(scope="module")
def admin(live: Live) -> httpx.Client:
    return live.client()


@pytest.fixture
def load(live: Live, admin: httpx.Client) -> Iterator[Load]:
    """Something to do while a process is away; afterwards every task has come to one end."""
    one = Load(admin)
    one.start()
    yield one
    ids = one.finish()
    assert ids
    assert {ended(admin, task_id)["status"] for task_id in ids} == {"completed"}
    completions = live.facts("TaskCompleted")
    assert {completions[task_id] for task_id in ids} == {1}


def one_of(live: Live, kind: str) -> int:
    """Return a process of a kind; of the raylets, the one that is not the head's."""
    if kind != RAYLET:
        until(lambda: bool(live.pids(kind)))
        return live.pids(kind)[0]
    found = [p for p in psutil.Process(live.process.pid).children(recursive=True) if p.name() == RAYLET]
    return max(found, key=lambda process: process.create_time()).pid


def readiness(live: Live) -> Json | None:
    """Return what is missing, empty when nothing is; None when nobody answers."""
    try:
        answer = httpx.get(f"{live.url}/readyz", timeout=2)
    except httpx.TransportError:
        return None
    if answer.status_code == 200:
        return {}
    missing: Json | None = answer.json()["error"]["details"].get("missing")
    return missing


def served(live: Live, admin: httpx.Client, what: str = "") -> None:
    """Wait until the server is ready, and does a task; print how long that took where `what` says after what."""
    began = time.monotonic()
    until(lambda: readiness(live) == {}, PATIENCE_S)
    (task_id,) = submit(admin, function("add", 2, 2))  # one login for all: a user has few sessions
    assert ended(admin, task_id, PATIENCE_S)["status"] == "completed"
    if what:
        print(f"{what}: served again after {time.monotonic() - began:.1f} s")


def all_nodes_there(live: Live, admin: httpx.Client) -> bool:
    """Say whether each node has its worker again."""
    with contextlib.suppress(httpx.TransportError):
        nodes = admin.get("/harmony/cluster/status").json()["worker_nodes"]
        return [node["status"] for node in nodes].count("active") == NODES
    return False


@contextlib.contextmanager
def unreachable(path: Path) -> Iterator[None]:
    """Let the system refuse to open a file for as long as the block lasts, for root too: it is a link to itself."""
    kept = path.with_name(f"{path.name}.kept")
    path.rename(kept)
    path.symlink_to(path)
    try:
        yield
    finally:
        path.unlink()
        kept.rename(path)


def test_processes_at_rest_have_loaded_what_they_use(live: Live, admin: httpx.Client) -> None:
    """What one of a server's processes needs is in no other: by the libraries that each has mapped."""
    served(live, admin)
    kinds = (MASTER, HISTORIAN, SUPERVISOR, NODE_WORKER, EXECUTOR, REPLICA)
    mapped = {
        kind: "".join(Path(f"/proc/{pid}/maps").read_text() for pid in live.pids(kind)) for kind in kinds
    }
    assert all(mapped.values())
    for library, users in LIBRARIES.items():
        assert {kind for kind in kinds if library in mapped[kind]} <= users, library


@pytest.mark.parametrize("kind", KINDS)
def test_a_killed_process_comes_back(live: Live, admin: httpx.Client, load: Load, kind: str) -> None:
    """kill -9 of one process of each kind, under load: it is there again, and served by everybody."""
    killed = one_of(live, kind)
    os.kill(killed, signal.SIGKILL)
    until(lambda: not psutil.pid_exists(killed) or psutil.Process(killed).status() == psutil.STATUS_ZOMBIE)
    served(live, admin, f"kill -9 of {kind}")
    until(lambda: all_nodes_there(live, admin), NODE_BACK_S_MAX)


def test_a_supervisor_that_was_killed_still_sees_to_node_workers(
    live: Live, admin: httpx.Client, load: Load
) -> None:
    """The supervisor dies, then a node worker does, then Ray has given one up: each is there again."""
    first = live.kill(SUPERVISOR)
    live.pid(SUPERVISOR, other_than=first)
    for killed in live.pids(NODE_WORKER):
        os.kill(killed, signal.SIGKILL)
        until(lambda pid=killed: pid not in live.pids(NODE_WORKER))  # type: ignore[misc]
    served(live, admin)
    until(lambda: all_nodes_there(live, admin), NODE_BACK_S_MAX)


def test_after_a_kill_of_the_historian_older_tasks_are_found(live: Live, admin: httpx.Client) -> None:
    """What has left memory is answered by its next life, and tasks may depend on it."""
    (old,) = submit(admin, function("add", 20, 22))
    ended(admin, old)
    until(lambda: live.facts("TasksRetired").total() > 0 and admin.get(f"/tasks/{old}").status_code == 200)
    first = live.kill(HISTORIAN)
    live.pid(HISTORIAN, other_than=first)
    until(lambda: admin.get(f"/tasks/{old}").status_code == 200, PATIENCE_S)
    assert admin.get(f"/tasks/{old}/result").json()["result"]["value"] == 42
    (after,) = submit(admin, function("add", 1, 1, depends_on=[old]))
    assert ended(admin, after)["status"] == "completed"


STARTS = (
    (MASTER, "journal.lock", "master"),
    (HISTORIAN, "history.duckdb", "history"),
)


@pytest.mark.parametrize(("kind", "file", "part"), STARTS)
def test_a_start_that_fails_is_tried_again(
    live: Live, admin: httpx.Client, load: Load, kind: str, file: str, part: str
) -> None:
    """Its file cannot be opened: /readyz has the part and the reason; the file is back: served, and nobody did anything."""
    with unreachable(live.data_dir / file):
        live.kill(kind)
        reasons: list[str] = []

        def said() -> bool:
            reasons.append(str((readiness(live) or {}).get(part)))
            return "symbolic links" in reasons[-1] or "unable to open" in reasons[-1]

        until(said)
        assert str(live.data_dir) not in reasons[-1]
    served(live, admin)


def test_counts_whose_file_is_away_go_on_in_memory(live: Live, admin: httpx.Client, load: Load) -> None:
    """A lender that cannot open its file is no reason to refuse a request; it writes the file again when it can."""
    file = live.data_dir / "limits.sqlite"
    with unreachable(file):
        first = live.kill(SUPERVISOR)
        live.pid(SUPERVISOR, other_than=first)
        served(live, admin)
        back = time.time()
    log = file.with_name(f"{file.name}-wal")
    until(lambda: log.exists() and log.stat().st_mtime > back)
    served(live, admin)


def test_a_journal_that_is_away_is_waited_for(live: Live, admin: httpx.Client, load: Load) -> None:
    """A volume that is not there does not become an empty journal: the master waits, and has everything afterwards."""
    journal = live.data_dir / "journal.sqlite"
    journal.rename(live.data_dir / "journal.kept")
    live.kill(MASTER)
    until(lambda: "No such file" in str((readiness(live) or {}).get("master")))
    assert not journal.exists()
    (live.data_dir / "journal.kept").rename(journal)
    served(live, admin)


def test_node_workers_whose_folder_is_in_the_way_start_when_it_is_not(
    live: Live, admin: httpx.Client, load: Load
) -> None:
    """A file lies where the logs go: the workers try again, and work as soon as it is gone."""
    logs = live.data_dir / "logs"
    logs.rename(live.data_dir / "logs.kept")
    logs.touch()
    before = live.pids(NODE_WORKER)
    for pid in before:
        os.kill(pid, signal.SIGKILL)
    until(lambda: len(live.pids(NODE_WORKER)) == NODES and not set(live.pids(NODE_WORKER)) & set(before))
    logs.unlink()
    (live.data_dir / "logs.kept").rename(logs)
    served(live, admin)
    until(lambda: all_nodes_there(live, admin), NODE_BACK_S_MAX)


@pytest.mark.parametrize(("kind", "file"), [(SUPERVISOR, "limits.sqlite"), (HISTORIAN, "history.duckdb")])
def test_what_is_derived_and_damaged_is_set_aside(
    live: Live, admin: httpx.Client, load: Load, kind: str, file: str
) -> None:
    """Garbage in the place of counts or history: kept under another name, made again, and served."""
    for companion in live.data_dir.glob(f"{file}[-.]wal"):
        companion.unlink()
    (live.data_dir / file).write_bytes(b"garbage" * 2000)
    live.kill(kind)
    served(live, admin)
    until(lambda: bool(list(live.data_dir.glob(f"{file}.unusable-*"))))


@pytest.mark.chaos
@pytest.mark.parametrize("kind", KINDS)
def test_a_process_that_stood_still_goes_on(live: Live, admin: httpx.Client, load: Load, kind: str) -> None:
    """SIGSTOP for 20 s, then SIGCONT: served again within the time of a start."""
    pid = one_of(live, kind)
    os.kill(pid, signal.SIGSTOP)
    threading.Event().wait(STOPPED_S)
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGCONT)
    served(live, admin, f"SIGSTOP of {kind} for {STOPPED_S:.0f} s")
    until(lambda: all_nodes_there(live, admin), NODE_BACK_S_MAX)


def test_a_damaged_journal_ends_the_server_with_the_reason(live: Live) -> None:
    """Nobody mends it: `helix up` ends with exit code 1 and one line that says what to do, and does so at the next start."""
    journal = live.data_dir / "journal.sqlite"
    for companion in live.data_dir.glob("journal.sqlite-*"):
        companion.unlink()
    journal.write_bytes(b"garbage" * 5000)
    os.kill(live.pid(MASTER), signal.SIGKILL)
    assert live.process.wait(60) == 1
    said = live.data_dir.with_name(f"{live.data_dir.name}.stderr").read_text()
    (line,) = [line for line in said.splitlines() if "it cannot go on" in line]
    assert "JournalDamaged" in line
    assert "Restore a backup" in line
    command = [
        sys.executable,
        "-m",
        "launcher.up",
        "--port",
        str(free_port()),
        "--data-dir",
        str(live.data_dir),
    ]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("HELIX_")}
    again = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120)
    assert again.returncode == 1
    assert "JournalDamaged" in again.stderr
    assert journal.read_bytes() == b"garbage" * 5000
