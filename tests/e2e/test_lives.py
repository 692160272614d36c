"""Every process of a live server comes back: killed, stopped, or failing its next start; or the
server ends with a reason.

One server for all of it: served again within SERVED_S_MAX of the fault, everything that was
acknowledged is there, nothing came to two outcomes, every task ends. A part of the matrix is for every
day, the whole for `make chaos`.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import psutil
import pytest

from tests.conftest import free_port
from tests.e2e.live import (
    EXECUTOR,
    HISTORIAN,
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
from tests.e2e.steady_load import Load
from tests.own_time import OwnTime
from tests.ray.signals import until

CONTROLLER, AGENT = "ray::ServeController", "ray::RuntimeEnvAgent"
GCS, RAYLET = "gcs_server", "raylet"
KINDS = (MASTER, HISTORIAN, SUPERVISOR, NODE_WORKER, EXECUTOR, REPLICA, RAYLET, CONTROLLER, AGENT)
# What the cluster itself stands on: without it `helix up` ends, and says so.
HEAD_KINDS = (GCS, RAYLET)
SERVED_S_MAX = 15.0
PATIENCE_S = 3 * SERVED_S_MAX
# A node's return, while others serve: Ray has to declare its old self dead, and its name is held for a while.
NODE_BACK_S_MAX = 120.0
NODES = 2
# Libraries that are heavy, and the processes that have use for them at rest.
LIBRARIES: dict[str, set[str]] = {
    "/_duckdb": {HISTORIAN},
    "/cryptography/": {REPLICA, MASTER},  # The master signs checkpoints, and seals values of env.
    "/_argon2_cffi_bindings/": {REPLICA},
    "/onnxruntime/": set(),
}


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


def all_of(live: Live, kind: str) -> list[int]:
    """Return the processes of a kind, oldest first: the head's is older than another node's."""
    found = live.pids(kind)
    if kind in HEAD_KINDS:
        # Not all that have the name: what a raylet is about to start has it for a moment.
        below = psutil.Process(live.process.pid).children(recursive=True)
        (gcs,) = [process for process in below if named(process, GCS)]
        found = [process.pid for process in gcs.parent().children() if named(process, kind)]
    return sorted(found, key=born)


def named(process: psutil.Process, name: str) -> bool:
    """Say whether a process lives and has a name."""
    with contextlib.suppress(psutil.NoSuchProcess):
        return bool(process.name() == name and process.status() != psutil.STATUS_ZOMBIE)
    return False


def born(pid: int) -> float:
    """Return when a process began, 0 where it is gone."""
    with contextlib.suppress(psutil.NoSuchProcess):
        return float(psutil.Process(pid).create_time())
    return 0.0


def one_of(live: Live, admin: httpx.Client, kind: str) -> int:
    """Return a process of a kind; of what the head's node stands on, the one of the other node."""
    if kind == EXECUTOR:
        ended(admin, submit(admin, function("add", 1, 1))[0])  # an idle one may have been given back
    others = NODES if kind in (RAYLET, AGENT) else 1
    until(lambda: len(all_of(live, kind)) >= others, NODE_BACK_S_MAX)
    return all_of(live, kind)[-1]


def gone(pid: int) -> bool:
    """Say whether a process has ended."""
    with contextlib.suppress(psutil.NoSuchProcess):
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    return True


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


def served(live: Live, admin: httpx.Client, wait_s: float = PATIENCE_S) -> None:
    """Wait until the server is ready, and does a task."""
    until(lambda: readiness(live) == {}, wait_s)
    (task_id,) = submit(admin, function("add", 2, 2))  # one login for all: a user has few sessions
    assert ended(admin, task_id, wait_s)["status"] == "completed"


def all_nodes_there(live: Live, admin: httpx.Client) -> bool:
    """Say whether each node has its worker again: one that has just died is listed as active for a while."""
    if len(live.pids(NODE_WORKER)) != NODES:
        return False
    with contextlib.suppress(httpx.TransportError):
        nodes = admin.get("/harmony/cluster/status").json()["worker_nodes"]
        return [node["status"] for node in nodes].count("active") == NODES
    return False


@contextlib.contextmanager
def unreachable(path: Path) -> Iterator[None]:
    """Let the system refuse to open a file for as long as the block lasts, for root
    too: it is a link to itself."""
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


def killed(live: Live, admin: httpx.Client, kind: str) -> OwnTime:
    """Kill one with SIGKILL; return the time since then."""
    pid = one_of(live, admin, kind)
    os.kill(pid, signal.SIGKILL)
    since = OwnTime()
    until(lambda: gone(pid))
    return since


def stopped(live: Live, admin: httpx.Client, kind: str) -> OwnTime:
    """Stop one, which nobody lets go on; return the time since then, as soon as it has been ended."""
    pid = one_of(live, admin, kind)
    os.kill(pid, signal.SIGSTOP)
    since = OwnTime()
    until(lambda: gone(pid))
    return since


def failing_twice(live: Live, admin: httpx.Client, kind: str) -> OwnTime:
    """Kill all of a kind, or one of the other node's, and the next two as soon as they are there;
    return the time since the last."""
    if kind in (RAYLET, AGENT):
        first = [one_of(live, admin, kind)]
    else:
        one_of(live, admin, kind)
        first = all_of(live, kind)
    known = set(all_of(live, kind))
    for pid in first:
        os.kill(pid, signal.SIGKILL)
    if kind == EXECUTOR:
        submit(admin, function("add", 1, 1))  # whose attempts are lost with each
    for _ in range(2):
        until(lambda: bool(set(all_of(live, kind)) - known), NODE_BACK_S_MAX)
        come = (set(all_of(live, kind)) - known).pop()
        known.add(come)
        with contextlib.suppress(ProcessLookupError):
            os.kill(come, signal.SIGKILL)
    return OwnTime()


FAULTS = {"kill": killed, "stop": stopped, "start": failing_twice}
# One of each kind is killed every day, and the one that everybody waits for is stopped.
DAILY = {*(("kill", kind, True) for kind in KINDS[:7]), ("stop", MASTER, True)}
MATRIX = [
    pytest.param(*row, marks=[] if row in DAILY else [pytest.mark.chaos])
    for row in itertools.product(FAULTS, KINDS, (False, True))
]


@pytest.mark.parametrize(("fault", "kind", "busy"), MATRIX)
def test_served_again(
    live: Live, admin: httpx.Client, request: pytest.FixtureRequest, fault: str, kind: str, busy: bool
) -> None:
    """A fault of a process of each kind, idle and under load: served again within SERVED_S_MAX, and
    all nodes are there later."""
    if busy:
        request.getfixturevalue("load")
    with FAULTS[fault](live, admin, kind) as since:
        served(live, admin)
    print(f"{fault} of {kind} {'under load' if busy else 'idle'}: served again after {since.seconds:.1f} s")
    assert since.seconds <= SERVED_S_MAX
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
    """Its file cannot be opened: /readyz has the part and the reason; the file is back: served,
    and nobody did anything."""
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
    """A quota server that cannot open its file is no reason to refuse a request; it writes
    the file again when it can."""
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
    """A volume that is not there does not become an empty journal: the master waits, and
    has everything afterwards."""
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
@pytest.mark.parametrize("fault", [signal.SIGKILL, signal.SIGSTOP])
@pytest.mark.parametrize("kind", HEAD_KINDS)
def test_without_the_head_the_server_ends_with_the_reason(
    tmp_path: Path, kind: str, fault: signal.Signals
) -> None:
    """The head's raylet and the GCS are the cluster: `helix up` ends within SERVED_S_MAX,
    and its last line says why."""
    with serving(tmp_path / "data") as server:
        os.kill(all_of(server, kind)[0], fault)
        assert server.process.wait(SERVED_S_MAX) == 1
    said = (tmp_path / "data.stderr").read_text()
    assert "it cannot continue: the head's Ray node has exited" in said
    assert (f"{kind} (pid" in said) == (fault == signal.SIGSTOP)


def test_a_damaged_journal_ends_the_server_with_the_reason(live: Live) -> None:
    """Nobody mends it: `helix up` ends with exit code 1 and one line that says what to do, and
    does so at the next start."""
    journal = live.data_dir / "journal.sqlite"
    for companion in live.data_dir.glob("journal.sqlite-*"):
        companion.unlink()
    journal.write_bytes(b"garbage" * 5000)
    os.kill(live.pid(MASTER), signal.SIGKILL)
    assert live.process.wait(60) == 1
    said = live.data_dir.with_name(f"{live.data_dir.name}.stderr").read_text()
    (line,) = [line for line in said.splitlines() if "it cannot continue" in line]
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
