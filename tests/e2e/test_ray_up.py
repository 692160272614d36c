"""cluster.yaml on machines of one's own: `ray up`, lost and returning nodes, a new one,
another head, `ray down`.

The tests are one story on one cluster, in the order in which they stand here: a head,
two workers, a third later.
"""

from __future__ import annotations

import contextlib
import os
import shlex
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from tests.conftest import leave_out
from tests.e2e.hosts import ROOT, TOOLS, Host, Hosts, hosts
from tests.e2e.live import NETWORK_PASSWORD, OWN, UNLIMITED, Json, Live, ended, function, shell, submit
from tests.own_time import OwnTime
from tests.ray.signals import WAIT_S_MAX, until

BIN = Path(sys.executable).parent
STATUS_S_MAX = 15.0
CUT_S = 60.0
RETURN_S_MAX = 180.0
# As short as it may be: `ray down` reaches the workers only through their own patience.
HEAD_STOPPED_S = 30
DOWN_S_MAX = HEAD_STOPPED_S + 15.0
SMALL = "--num-cpus=2 --object-store-memory=100000000"
pytestmark = pytest.mark.timeout(600)


@dataclass
class RayUp:
    """The cluster of one cluster.yaml."""

    hosts: Hosts
    folder: Path
    workers: list[int]
    live: Live
    tasks: list[str] = field(default_factory=list)

    @property
    def config(self) -> Path:
        return self.folder / "cluster.yaml"

    def ray(self, *words: str) -> str:
        """Run the cluster launcher, with a home and folders for its state of its own."""
        own = {"HOME": str(self.folder), "TMPDIR": str(self.folder), "RAY_TMPDIR": str(self.folder)}
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("HELIX_", "RAY_"))}
        done = subprocess.run(
            [str(BIN / "ray"), *words],
            env={**kept, **own},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=300,
            check=False,
        )
        assert done.returncode == 0, done.stdout[-6000:]
        return done.stdout

    def write_config(self) -> None:
        """Edit the five lines of cluster.yaml, and make everything small."""
        config = yaml.safe_load((ROOT / "cluster.yaml").read_text())
        config["cluster_name"] = "hx78"
        config["provider"]["head_ip"] = self.hosts.hosts[1].address
        config["provider"]["worker_ips"] = [self.hosts.hosts[number].address for number in self.workers]
        config["auth"] = {"ssh_user": "root", "ssh_private_key": str(self.hosts.key)}
        setup = config["setup_commands"]
        setup[:] = [line.replace("/opt/helix-ray/.venv/bin", str(BIN)) for line in setup]
        settings = {**UNLIMITED, **OWN, "admin_password": NETWORK_PASSWORD}
        given = " ".join(f"HELIX_{name.upper()}={value}" for name, value in settings.items())
        head, worker = config["head_start_ray_commands"], config["worker_start_ray_commands"]
        head[-1] = f"{given} {head[-1]} {SMALL} --capability on-host1"
        worker[-1] += f" {SMALL} --capability on-$(hostname) --head-stopped-s {HEAD_STOPPED_S}"
        self.config.write_text(yaml.safe_dump(config, sort_keys=False))

    def host(self, number: int) -> Host:
        """Return a host."""
        return self.hosts.hosts[number]


@pytest.fixture(scope="module")
def cluster(require: Callable[[str], str]) -> Iterator[RayUp]:
    """Bring three hosts up, and the cluster on them with `ray up cluster.yaml`."""
    for tool in TOOLS:
        require(tool)
    if os.geteuid() != 0:
        leave_out("hosts as namespaces need root")
    # Not under /tmp, which is another on every host.
    folder = Path(tempfile.mkdtemp(prefix="helix-hosts-", dir="/var/tmp"))
    try:
        with hosts(folder / "hosts", 3) as made:
            yield from _brought_up(made, folder)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _brought_up(made: Hosts, folder: Path) -> Iterator[RayUp]:
    head = made.hosts[1]
    home = head.folder / "home/.helix-ray"
    url = f"http://{head.address}:8080"
    live = Live(None, home, url, password=NETWORK_PASSWORD)  # type: ignore[arg-type]
    up = RayUp(made, folder, [2, 3], live)
    up.write_config()
    up.ray("get-auth-token", "--generate")
    said = up.ray("up", "-y", "--no-config-cache", str(up.config))
    assert f"ready {live.url}" in said
    try:
        yield up
    finally:
        for client in live.clients:
            client.close()


# ------------------------------------------------------------------------------------------- what must hold


def workers(client: httpx.Client) -> dict[str, Json]:
    """Return the workers by id."""
    answer = client.get("/workers")
    assert answer.status_code == 200, answer.text
    return {worker["id"]: worker for worker in answer.json()["workers"]}


def right_within(client: httpx.Client, wait_s: float = STATUS_S_MAX, **alive: bool) -> None:
    """Wait until the cluster's status tells of every host what is the case:
    `host2=False` is one that is lost."""
    expected = {f"worker-{name}": "active" if there else "lost" for name, there in alive.items()}

    def right() -> bool:
        status = client.get("/harmony/cluster/status").json()
        told = {node["id"]: node["status"] for node in status["worker_nodes"]}
        counted = (status["total_nodes"], status["active_nodes"])
        return told == expected and counted == (1 + len(alive), 1 + sum(alive.values()))

    with OwnTime() as own_time:
        until(right, max(wait_s, WAIT_S_MAX))
    assert own_time.seconds <= wait_s


def nothing_lost_nothing_twice(cluster: RayUp, client: httpx.Client) -> None:
    """Every task that was submitted so far ends, completed by one fact."""
    for task_id in cluster.tasks:
        assert ended(client, task_id, 120.0)["status"] == "completed"
    completed = cluster.live.facts("TaskCompleted")
    assert {task_id: completed[task_id] for task_id in cluster.tasks} == dict.fromkeys(cluster.tasks, 1)


def send(cluster: RayUp, client: httpx.Client, *tasks: Json) -> list[str]:
    """Submit tasks and remember them."""
    ids = submit(client, *tasks)
    cluster.tasks += ids
    return ids


def on(number: int, line: str, **fields: Any) -> Json:
    """Return a task that runs on one host."""
    return shell(line, required_capabilities=[f"on-host{number}"], **fields)


def anywhere(count: int) -> list[Json]:
    """Return tasks that take a while together."""
    return [shell("sleep 0.3; hostname") for _ in range(count)]


# ------------------------------------------------------------------------------------------- the story


def test_every_node_runs_what_asks_for_it(cluster: RayUp) -> None:
    """`ray up` has brought up head and workers with their hosts' names, and the token is theirs alone."""
    client = cluster.live.client()
    right_within(client, RETURN_S_MAX, host1=True, host2=True, host3=True)
    ids = send(cluster, client, *[on(number, "hostname") for number in (1, 2, 3)])
    for number, task_id in zip((1, 2, 3), ids, strict=True):
        assert ended(client, task_id)["assigned_worker"] == f"worker-host{number}"
        assert client.get(f"/tasks/{task_id}/logs").text.strip() == f"host{number}"
        token = cluster.host(number).folder / "home/.ray/auth_token"
        assert token.stat().st_mode & 0o777 == 0o600
    nothing_lost_nothing_twice(cluster, client)


def test_a_program_on_any_node_joins_with_the_token_only(cluster: RayUp) -> None:
    """`helix_ray.connect()` finds the cluster on the head by itself and elsewhere by address;
    another token is refused."""
    program = "import helix_ray as hx; print(list(hx.connect().map(abs, [-7])))"
    address = f"RAY_ADDRESS={cluster.host(1).address}:6379 RAY_AUTH_MODE=token"
    run = f"timeout 180 {BIN}/python -c {shlex.quote(program)}"
    assert cluster.host(1).run(run).stdout.strip() == "[7]"
    assert cluster.host(2).run(f"{address} {run}").stdout.strip() == "[7]"
    assert cluster.host(3).run(f"{address} RAY_AUTH_TOKEN=another {run}").returncode != 0


def test_a_killed_raylet_is_back_under_its_name(cluster: RayUp) -> None:
    """kill -9: the node is lost within 15 s and comes back by itself, with its counters and its logs."""
    client = cluster.live.client()
    before = workers(client)["worker-host2"]
    (bound,) = send(cluster, client, on(2, "if mkdir /tmp/once 2>&-; then sleep 600; fi; echo again"))
    until(lambda: (cluster.host(2).folder / "tmp/once").exists())
    send(cluster, client, *anywhere(30))
    # On a quiet machine the node is back before anybody has seen it gone, so what starts it again is held up.
    supervisor = cluster.host(2).process("launcher.node")
    supervisor.suspend()
    try:
        cluster.host(2).process("/raylet/raylet").kill()
        right_within(client, host1=True, host2=False, host3=True)
    finally:
        supervisor.resume()
    right_within(client, RETURN_S_MAX, host1=True, host2=True, host3=True)
    nothing_lost_nothing_twice(cluster, client)
    after = workers(client)["worker-host2"]
    assert after["node_id"] != before["node_id"]
    assert after["tasks_completed"] > before["tasks_completed"]
    assert client.get(f"/tasks/{cluster.tasks[1]}/logs").text.strip() == "host2"
    assert client.get(f"/tasks/{bound}/logs").text.strip() == "again"


def test_a_node_that_was_cut_off_ends_its_work_and_comes_back(cluster: RayUp) -> None:
    """A link down for a minute: others run what they can, what ran behind the cut ends, and
    the node is back by itself."""
    client = cluster.live.client()
    host = cluster.host(3)
    # It asks for host 3, so it waits for its return, and tells by the folder that it has been there before.
    (task_id,) = send(cluster, client, on(3, "if mkdir /tmp/cut 2>&-; then exec sleep 12345; fi; echo after"))
    until(lambda: (host.folder / "tmp/cut").exists())
    send(cluster, client, *anywhere(20))
    began = time.monotonic()
    host.cut()
    try:
        right_within(client, host1=True, host2=True, host3=False)
        until(lambda: not host.processes("sleep 12345"), CUT_S)
        until(lambda: time.monotonic() - began >= CUT_S, CUT_S + WAIT_S_MAX)
    finally:
        host.join()
    right_within(client, RETURN_S_MAX, host1=True, host2=True, host3=True)
    # It may be seen for a moment before it learns that Ray has given it up, and then starts again.
    assert ended(client, task_id, RETURN_S_MAX)["losses"] >= 1
    nothing_lost_nothing_twice(cluster, client)


def test_a_drained_worker_gets_nothing_more(cluster: RayUp) -> None:
    """What it has it finishes; what asks for it waits until it is back in service."""
    client = cluster.live.client()
    assert client.post("/workers/worker-host2/drain").status_code == 200
    send(cluster, client, *anywhere(10))
    (bound,) = send(cluster, client, on(2, "echo served"))
    status = client.get("/harmony/cluster/status").json()["worker_nodes"]
    assert {node["id"]: node["status"] for node in status}["worker-host2"] == "draining"
    others = [ended(client, task_id) for task_id in cluster.tasks[-11:-1]]
    assert {task["assigned_worker"] for task in others} <= {"worker-host1", "worker-host3"}
    assert client.get(f"/tasks/{bound}").json()["status"] == "pending"
    assert client.post("/workers/worker-host2/drain", json={"draining": False}).status_code == 200
    nothing_lost_nothing_twice(cluster, client)


def test_another_head_process_goes_on_where_the_last_ended(cluster: RayUp) -> None:
    """A third worker is added, and the head started again with its data: tasks,
    counters and logs are there."""
    client = cluster.live.client()
    before = {i: w["tasks_completed"] for i, w in workers(client).items()}
    cluster.hosts.add(4)
    cluster.workers.append(4)
    cluster.write_config()
    send(cluster, client, *anywhere(20), on(4, "hostname"))
    # Without --no-restart, Ray starts the head again for a new list of workers.
    said = cluster.ray("up", "-y", "--no-config-cache", str(cluster.config))
    assert f"ready {cluster.live.url}" in said
    client = cluster.live.client()
    right_within(client, RETURN_S_MAX, host1=True, host2=True, host3=True, host4=True)
    nothing_lost_nothing_twice(cluster, client)
    after = {i: w["tasks_completed"] for i, w in workers(client).items()}
    assert all(after[worker_id] >= count for worker_id, count in before.items())
    assert client.get(f"/tasks/{cluster.tasks[1]}/logs").text.strip() == "host2"
    assert ended(client, cluster.tasks[-1])["assigned_worker"] == "worker-host4"
    (quick,) = send(cluster, client, function("add", 2, 3))
    assert ended(client, quick)["status"] == "completed"


def test_ray_down_leaves_nothing_running_anywhere(cluster: RayUp) -> None:
    """Within a bounded time every process of the cluster has ended on every host,
    and the journal is whole."""
    with contextlib.closing(cluster.live.client()) as client:
        nothing_lost_nothing_twice(cluster, client)
    cluster.ray("down", "-y", str(cluster.config))
    with OwnTime() as own_time:
        until(lambda: not [p for host in cluster.hosts.hosts.values() for p in host.processes()], 120.0)
    assert own_time.seconds <= DOWN_S_MAX
