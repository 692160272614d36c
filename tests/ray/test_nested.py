"""Functions that wait for tasks which they have submitted, on a node that has room for one of them."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from helix_ray import cluster as hx
from helix_ray.cluster.api import Cluster
from helix_ray.core.orders import DrainWorker, Receipt, SetQuota
from helix_ray.core.questions import ListNodes
from tests.ray.conftest import LiveCluster
from tests.ray.signals import until
from tests.ray.test_faults import node_pids

WAIT_S = 120.0
# All CPUs of a node: what waits there has to release them.
ALL: dict[str, Any] = {"cpu": 2}
DEPTH, WIDTH = 10, 20


@pytest.fixture(scope="module")
def node(cluster: LiveCluster) -> Iterator[str]:
    """The only node that takes tasks; give its worker's id."""
    until(cluster.idle)
    only, *others = (node["id"] for node in cluster.ask(ListNodes())["nodes"] if node["status"] == "active")
    for worker_id in others:
        assert isinstance(cluster.execute(DrainWorker(worker_id, True)), Receipt)
    yield only
    for worker_id in others:
        cluster.execute(DrainWorker(worker_id, False))


@pytest.fixture
def helix(node: str) -> Iterator[Cluster]:
    """A connection of this program."""
    with hx.connect() as connected:
        yield connected


def deep(levels: int) -> int:
    """Wait for a task that does the same one level less."""
    import helix_ray as hx

    if not levels:
        return 0
    with hx.connect() as cluster:
        return 1 + int(cluster.submit(deep, levels - 1, cpu=2).result())


def wide(count: int) -> int:
    """Wait for many tasks on an event loop, and then for one after the other."""
    import asyncio

    import helix_ray as hx

    async def value(handle: hx.Handle) -> int:
        return int(await handle)

    async def gathered(cluster: hx.Cluster) -> int:
        handles = [await cluster.submit_async(abs, -n, cpu=2) for n in range(count)]
        return sum(await asyncio.gather(*map(value, handles)))

    with hx.connect() as cluster:
        total = asyncio.run(gathered(cluster))
        handles = [cluster.submit(abs, -n, cpu=2) for n in range(3)]
        assert hx.wait(handles) == (set(handles), set())
        handles = [cluster.submit(abs, -n, cpu=2) for n in range(3)]
        assert sum(handle.result() for handle in hx.as_completed(handles)) == 3
        assert list(cluster.map(abs, [-1, 2], cpu=2)) == [1, 2]
        return total


def gated(gate: str) -> str:
    """Wait for a file, without waiting for a task."""
    import os
    import time

    while not os.path.exists(gate):
        time.sleep(0.02)
    return gate


def parent(gate: str, project: str | None = None) -> str:
    """Wait for a task that waits for a file."""
    import helix_ray as hx

    with hx.connect() as cluster:
        options = {} if project is None else {"project_id": project}
        return str(cluster.submit(gated, gate, cpu=2, **options).result())


def careful() -> str:
    """Wait for a task that fails, and say why it has."""
    import helix_ray as hx

    with hx.connect() as cluster:
        try:
            cluster.submit(int, "twelve", cpu=2).result()
        except ValueError as error:
            return str(error)
    return "it has not failed"


def blocked_parent(helix: Cluster, gate: Path, **options: Any) -> tuple[hx.Handle, hx.Handle]:
    """Return a task that is blocked, and the one that it waits for, which runs."""
    handle = helix.submit(parent, str(gate), kwargs={"project": options.get("project_id")}, **ALL, **options)
    until(lambda: bool(handle.view().get("blocked_on")), WAIT_S)
    (child_id,) = handle.view()["blocked_on"]
    child = helix.handle(child_id)
    until(lambda: child.status() == "running", WAIT_S)
    return handle, child


def test_ten_levels_end_on_a_node_with_room_for_one(helix: Cluster) -> None:
    """Each level waits for the next, and all but the last have released their CPUs."""
    assert helix.submit(deep, DEPTH, **ALL).result(WAIT_S) == DEPTH


def test_all_ways_to_wait_release_the_cpus(helix: Cluster) -> None:
    """An event loop, `wait`, `as_completed`, `map`: the tasks run one after the other beside who waits."""
    assert helix.submit(wide, WIDTH, **ALL).result(WAIT_S) == sum(range(WIDTH))


def test_the_failure_of_a_child_reaches_its_parent(helix: Cluster) -> None:
    """As an exception where it waits."""
    assert "twelve" in helix.submit(careful, **ALL).result(WAIT_S)


def test_a_quota_is_released_as_well(cluster: LiveCluster, helix: Cluster, tmp_path: Path) -> None:
    """A project that may use the CPUs of one task runs the child of that task."""
    quota = SetQuota("narrow", {"cpu": 2.0, "tasks": 1.0}, 1.0)
    assert isinstance(cluster.execute(quota), Receipt)
    handle, child = blocked_parent(helix, tmp_path / "gate", project_id="narrow")
    (tmp_path / "gate").touch()
    assert handle.result(WAIT_S) == child.result(WAIT_S) == str(tmp_path / "gate")
    assert "blocked_on" not in handle.view()
    cluster.execute(SetQuota("narrow"))


def test_a_blocked_parent_can_be_cancelled(helix: Cluster, tmp_path: Path) -> None:
    """Its child goes on, and so do others."""
    handle, child = blocked_parent(helix, tmp_path / "gate")
    assert handle.cancel()
    (tmp_path / "gate").touch()
    assert child.result(WAIT_S) == str(tmp_path / "gate")
    assert helix.submit(abs, -7, **ALL).result(WAIT_S) == 7


def test_a_killed_master_knows_who_is_blocked(cluster: LiveCluster, helix: Cluster, tmp_path: Path) -> None:
    """What is released is in the journal: after its restart another task runs beside two that are blocked."""
    handle, child = blocked_parent(helix, tmp_path / "gate")
    os.kill(cluster.master_pid(), signal.SIGKILL)
    assert handle.view()["blocked_on"] == [child.id]
    (tmp_path / "gate").touch()
    assert handle.result(WAIT_S) == str(tmp_path / "gate")
    assert (handle.view()["attempt"], child.view()["attempt"]) == (1, 1)
    assert helix.submit(deep, 1, **ALL).result(WAIT_S) == 1


def test_a_killed_node_worker_takes_nothing_with_it(
    cluster: LiveCluster, helix: Cluster, node: str, tmp_path: Path
) -> None:
    """Parent and child run again, and what the first life released is not released in the second."""
    handle, child = blocked_parent(helix, tmp_path / "gate")
    os.kill(node_pids(cluster)[node], signal.SIGKILL)
    (tmp_path / "gate").touch()
    assert handle.result(WAIT_S) == str(tmp_path / "gate")
    assert child.result(WAIT_S) == str(tmp_path / "gate")
    assert handle.view()["attempt"] == 2
    assert helix.submit(deep, 2, **ALL).result(WAIT_S) == 2
