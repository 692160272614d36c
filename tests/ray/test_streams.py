"""Functions that yield, on a cluster of three raylets: items arrive while they run, whole, each once."""

from __future__ import annotations

import asyncio
import pickle
import time
from base64 import b64encode
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import ray

from helix_ray import cluster as hx
from helix_ray.cluster.api import Cluster
from helix_ray.core.questions import GetTask
from helix_ray.plane.names import NAMESPACE
from helix_ray.plane.ray_objects import Kept
from tests.ray.conftest import LiveCluster, function
from tests.ray.signals import until

WAIT_S = 60.0
SMALL_ITEMS = 100_000


@pytest.fixture(scope="module")
def helix(cluster: LiveCluster) -> Iterator[Cluster]:
    """A connection from this process, which is a driver of the cluster."""
    with hx.connect() as connected:
        yield connected


def gated(gate: str, number: int) -> Iterator[int]:
    """Yield each item but the first only when there is a file with its number."""
    import time
    from pathlib import Path

    for item in range(number):
        while item and not Path(f"{gate}-{item}").exists():
            time.sleep(0.01)
        yield item


async def gated_later(gate: str, number: int) -> AsyncIterator[int]:
    for item in gated(gate, number):
        yield item


@pytest.mark.parametrize("work", [gated, gated_later], ids=["generator", "asynchronous"])
def test_items_arrive_before_the_function_goes_on(helix: Cluster, tmp_path: Path, work: Any) -> None:
    """Each is read before the file is there without which the next is not yielded; a second reader that
    comes late reads all of them."""
    gate = tmp_path / "gate"
    handle = helix.submit(work, str(gate), 3)
    for item, found in enumerate(handle.stream(timeout=WAIT_S)):
        assert found == item
        assert handle.status() == "running" or item == 2
        Path(f"{gate}-{item + 1}").touch()
    assert list(handle) == [0, 1, 2]
    assert handle.result(WAIT_S) == [0, 1, 2]


def test_a_running_event_loop_reads_two_streams_at_once(helix: Cluster, tmp_path: Path) -> None:
    """Neither blocks the loop: each stream's items are let through by the other one's reader."""

    async def read(gate: Path, other: Path) -> list[int]:
        handle = await helix.submit_async(gated, str(gate), 3, cpu=0.5)
        found = []
        async for item in handle.stream(timeout=WAIT_S):
            found.append(item)
            Path(f"{other}-{item + 1}").touch()
        return found

    async def both() -> list[list[int]]:
        one, two = tmp_path / "one", tmp_path / "two"
        return await asyncio.gather(read(one, two), read(two, one))

    assert asyncio.run(both()) == [[0, 1, 2], [0, 1, 2]]


def killed_once(mark: str, number: int) -> Iterator[int]:
    """End the process in the middle, the first time."""
    import os
    import signal
    from pathlib import Path

    for item in range(number):
        yield item
        if item == number // 2 and not Path(mark).exists():
            Path(mark).touch()
            os.kill(os.getpid(), signal.SIGKILL)


def test_a_killed_executor_costs_no_item_and_doubles_none(helix: Cluster, tmp_path: Path) -> None:
    """The retry begins again, and the reader goes on behind what it had."""
    handle = helix.submit(killed_once, str(tmp_path / "mark"), 1000)
    assert list(handle.stream(timeout=WAIT_S)) == list(range(1000))
    assert handle.view()["losses"] == 1


def fail_behind(number: int) -> Iterator[int]:
    yield from range(number)
    raise LookupError("behind them")


def test_an_exception_comes_behind_the_items(helix: Cluster) -> None:
    """All of them, then the exception, as often as the stream is read."""
    handle = helix.submit(fail_behind, 3)
    for _ in range(2):
        stream = iter(handle)
        assert [next(stream), next(stream), next(stream)] == [0, 1, 2]
        with pytest.raises(LookupError, match="behind them"):
            next(stream)


def for_ever() -> Iterator[int]:
    import itertools
    import time

    for item in itertools.count():
        yield item
        time.sleep(0.005)


def test_a_cancel_ends_the_function_and_the_stream(cluster: LiveCluster, helix: Cluster) -> None:
    """Its CPU is free again; the reader gets the items so far, then TaskCancelledError."""
    handle = helix.submit(for_ever)
    stream = handle.stream(timeout=WAIT_S)
    assert [next(stream), next(stream)] == [0, 1]
    assert handle.cancel()
    with pytest.raises(hx.TaskCancelledError):
        list(stream)
    until(cluster.idle)


def count(number: int) -> Iterator[int]:
    yield from range(number)


def test_many_small_items(helix: Cluster) -> None:
    """All arrive in order; the figure is for people, no bound of it is asserted."""
    helix.submit(count, 1).result(WAIT_S)
    began = time.perf_counter()
    total = sum(helix.submit(count, SMALL_ITEMS).stream(timeout=WAIT_S))
    rate = SMALL_ITEMS / (time.perf_counter() - began)
    print(f"{SMALL_ITEMS} items: {rate:,.0f}/s")
    assert total == SMALL_ITEMS * (SMALL_ITEMS - 1) // 2


def arrays(number: int, size: int) -> Iterator[Any]:
    import numpy as np

    for item in range(number):
        yield np.full(size, item, dtype=np.float64)


def test_large_arrays_are_items_too(helix: Cluster) -> None:
    """Of 50 MB each; neither the journal nor a message to the control plane has them."""
    found = [array.sum() for array in helix.submit(arrays, 2, 6_250_000).stream(timeout=WAIT_S)]
    assert found == [0.0, 6_250_000.0]


def test_by_name_the_result_is_a_list(cluster: LiveCluster) -> None:
    """As JSON, which is what callers over REST can read."""
    (task_id,) = cluster.submit(function("squares", 5))
    assert cluster.outcomes([task_id])[task_id]["result"] == {"success": True, "value": [0, 1, 4, 9, 16]}


def test_a_task_whose_arguments_are_gone_fails_at_once(cluster: LiveCluster) -> None:
    """No retry would find them; the reason says so."""
    here = ray.get_runtime_context().get_node_id()
    payload = b64encode(pickle.dumps(Kept(NAMESPACE, here, "no-such-key"))).decode()
    run = {"kind": "function", "function": "f", "payload": payload}
    spec = {"title": "gone", "type": "building", "run": run, "max_retries": 5}
    (task_id,) = cluster.submit(spec)
    error = cluster.outcomes([task_id])[task_id]["error"]
    assert (error["reason"], cluster.ask(GetTask(task_id))["attempt"]) == ("arguments_lost", 1)
    assert "submit the call again" in error["message"]


def test_the_array_of_an_item_can_be_written(helix: Cluster) -> None:
    """As a result's can."""
    (array,) = helix.submit(arrays, 1, 10)
    array += 1
    assert (array == np.ones(10)).all()
