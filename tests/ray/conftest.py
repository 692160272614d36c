"""A real cluster of three raylets with the actors on it, one for all tests of this tier."""

from __future__ import annotations

import asyncio
import contextlib
import os
import subprocess
import sys
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import gettempdir
from typing import Any, TypeVar

import pytest
import ray
from ray.cluster_utils import Cluster

from actors import boot, names, ray_seams
from actors.gateway import RayControlPlane
from helix_ray.config import Settings
from helix_ray.core.access import SYSTEM, Principal
from helix_ray.core.decide.submit import task_ids
from helix_ray.core.errors import Rejected
from helix_ray.core.orders import CancelTask, Order, OrderBody, Receipt, SubmitTasks
from helix_ray.core.questions import ListNodes, ListTasks, ListWorkers, Question, WaitTasks
from helix_ray.wire.ids import new_seed
from launcher.up import environment
from launcher.up.cluster import SYSTEM_CONFIG
from tests.collector import Collector, collecting
from tests.endless_model import models_with_endless
from tests.ray.signals import until

T = TypeVar("T")
WAIT_S_MAX = 120.0
CPUS = 6


@dataclass
class LiveCluster:
    """The control plane on real raylets, spoken to as a route does."""

    ray_cluster: Cluster
    settings: Settings
    collector: Collector

    def run(self, work: Callable[[RayControlPlane], Awaitable[T]]) -> T:
        """Run a coroutine with a gateway of its own."""

        async def go() -> T:
            async with contextlib.aclosing(RayControlPlane()) as plane:
                return await work(plane)

        return asyncio.run(go())

    def execute(self, body: OrderBody, by: Principal = SYSTEM) -> Receipt | Rejected:
        """Carry out one order."""
        return self.run(lambda plane: plane.execute(Order(body, by, "req-test", new_seed())))

    def ask(self, question: Question, by: Principal = SYSTEM) -> dict[str, Any]:
        """Answer one question, which must not be refused."""
        answer = self.run(lambda plane: plane.query(question, by))
        assert not isinstance(answer, Rejected), answer
        return answer

    def submit(self, *specs: dict[str, Any]) -> list[str]:
        """Submit tasks, all of which must be accepted; return their ids."""
        seed = new_seed()
        order = Order(SubmitTasks(specs), SYSTEM, "req-test", seed)
        answer = self.run(lambda plane: plane.execute(order))
        assert isinstance(answer, Receipt), answer
        assert not answer.data["rejected"], answer
        return task_ids(seed, len(specs))

    def outcomes(self, ids: list[str], wait_s: float = WAIT_S_MAX) -> dict[str, dict[str, Any]]:
        """Wait until all tasks are finished; return their results by id."""

        async def wait(plane: RayControlPlane) -> dict[str, dict[str, Any]]:
            done: dict[str, dict[str, Any]] = {}
            async with asyncio.timeout(wait_s):
                while len(done) < len(ids):
                    left = tuple(task_id for task_id in ids if task_id not in done)
                    answer = await plane.query(WaitTasks(left), SYSTEM, 5.0)
                    assert not isinstance(answer, Rejected), answer
                    done.update({outcome["id"]: outcome for outcome in answer["done"]})
            return done

        return self.run(wait)

    def idle(self) -> bool:
        """Say whether all CPUs are there and free."""
        nodes = [node for node in self.ask(ListNodes())["nodes"] if node["status"] == "active"]
        # A removed node is listed until it is missed: its free CPUs must not stand for those in use.
        every = sum(node["resources"]["cpu"] for node in nodes)
        return bool(every == CPUS == sum(node["free"]["cpu"] for node in nodes))

    def statuses(self) -> dict[str, str]:
        """Return the statuses of all workers, by their ids."""
        return {each["id"]: each["status"] for each in self.ask(ListWorkers())["workers"]}

    @contextlib.contextmanager
    def extra_node(self) -> Iterator[tuple[Any, str]]:
        """Add a node of two CPUs, and give it with the id of its worker.

        It is killed at the end, unless the test has done so, and is missed then: until it is missed it gets
        tasks, and they are lost with it.
        """
        known = self.statuses()
        node = self.ray_cluster.add_node(
            num_cpus=2, object_store_memory=100 << 20, **ray_seams.WORKER_PROGRAM
        )
        added: list[str] = []

        def is_there() -> bool:
            added[:] = self.statuses().keys() - known.keys()
            return bool(added)

        try:
            until(is_there)
            yield node, added[0]
        finally:
            if node in self.ray_cluster.worker_nodes:
                self.ray_cluster.remove_node(node, allow_graceful=False)
            until(lambda: all(self.statuses()[each] == "lost" for each in added))

    def master_pid(self) -> int:
        """Return the process id of the master, as soon as one answers."""
        found: list[int] = []

        def answers() -> bool:
            with contextlib.suppress(ray.exceptions.RayError):
                found.append(int(ray.get(names.find(names.MASTER).info.remote())["pid"]))
            return bool(found)

        until(answers)
        return found[0]


def function(name: str, *args: Any, **options: Any) -> dict[str, Any]:
    """Return the spec of a function task."""
    run = {"kind": "function", "function": f"helix_ray.samples:{name}", "args": list(args)}
    return {"title": name, "type": "building", "run": run, **options}


def command(line: str, **options: Any) -> dict[str, Any]:
    """Return the spec of a shell command task."""
    return {"title": line[:80], "type": "building", "run": {"kind": "command", "shell": line}, **options}


def as_a_job(
    cluster: LiveCluster, script: Path, *arguments: str, cwd: Path | None = None, **variables: str
) -> subprocess.CompletedProcess[str]:
    """Run a program to its end, in its own folder unless `cwd` says otherwise; it finds the cluster by
    RAY_ADDRESS."""
    return subprocess.run(
        [sys.executable, str(script), *arguments],
        env={**os.environ, "RAY_ADDRESS": cluster.ray_cluster.address, **variables},
        capture_output=True,
        text=True,
        check=False,
        cwd=cwd or script.parent,
    )


@pytest.fixture(scope="session")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveCluster]:
    """Three raylets, two CPUs each, with everything started; of Ray's own processes those of `helix up` only,
    which halves what a node costs while it waits."""
    data_dir: Path = tmp_path_factory.mktemp("data")
    os.environ.setdefault("RAY_AUTH_MODE", "disabled")
    os.environ.update(environment.quiet())
    ray_seams.without_dashboard()
    options = {
        "num_cpus": 2,
        "object_store_memory": 150 << 20,
        "include_dashboard": False,
        "include_log_monitor": False,
        "no_monitor": True,
        # A killed raylet is missed as soon as under `helix up`.
        "_system_config": SYSTEM_CONFIG,
        **ray_seams.WORKER_PROGRAM,
    }
    ray_cluster = Cluster(initialize_head=True, head_node_args=options)
    for _ in range(2):
        ray_cluster.add_node(num_cpus=2, object_store_memory=100 << 20, **ray_seams.WORKER_PROGRAM)
    ray.init(address=ray_cluster.address, namespace=names.NAMESPACE, log_to_driver=False)
    settings = Settings(
        data_dir=data_dir,
        admin_password="correct horse",
        stopped_s_max=2.0,
        # Not all of the temporary folder: each cell would cover every folder of sockets that killed servers
        # have left there.
        isolation_writable=str(tmp_path_factory.getbasetemp()),
        # The others do what their arguments say, see test_reach_of_functions.py.
        function_allow="helix_ray.samples:*,linecache:getlines,os:kill,socket:create_connection",
        input_dirs=gettempdir(),
        models_dir=models_with_endless(tmp_path_factory.mktemp("models")),
        webhook_allow_networks="127.0.0.0/8",
        webhook_allow_http=True,
    )
    with collecting() as collector:
        settings = replace(settings, otlp_endpoint=collector.url)
        boot.start(settings)
        yield LiveCluster(ray_cluster, settings, collector)
        boot.stop()
    ray.shutdown()
    ray_cluster.shutdown()


@pytest.fixture(autouse=True)
def leave_nothing_behind(cluster: LiveCluster) -> Iterator[None]:
    """End what a test that failed has left: the next ones need the CPUs."""
    yield
    for status in ("running", "pending", "waiting"):
        for task in cluster.ask(ListTasks(status=status))["tasks"]:
            cluster.execute(CancelTask(task["id"]))
