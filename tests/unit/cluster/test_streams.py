"""Streams of what functions yield: at once, whole, each item once, and how they end."""

from __future__ import annotations

import asyncio
from base64 import b64encode
from collections.abc import Callable, Iterator
from typing import Any

import cloudpickle
import pytest

from helix_ray import cluster as hx
from helix_ray.cluster import streams
from helix_ray.cluster.api import Cluster
from helix_ray.core.errors import Refused
from helix_ray.core.names import shard_id
from helix_ray.plane.links import CallFailed
from tests.ray.signals import until
from tests.unit.cluster.memory_links import MemoryLinks, links_of

Connect = Callable[..., Cluster]
WAIT_S = 60.0


def count(number: int) -> Iterator[int]:
    yield from range(number)


def value(number: int) -> int:
    return number


@pytest.fixture
def held(connect: Connect) -> tuple[Cluster, MemoryLinks]:
    """A cluster whose node does what the test tells it to do."""
    cluster = connect(hold=True)
    return cluster, links_of(cluster)


def begun(cluster: Cluster, links: MemoryLinks, **options: Any) -> tuple[hx.Handle, Iterator[Any]]:
    handle = cluster.submit(count, 0, **options)
    links.begin(handle.id)
    return handle, handle.stream(timeout=WAIT_S)


def test_an_item_comes_before_the_function_ends(held: tuple[Cluster, MemoryLinks]) -> None:
    """Each is given while the attempt runs, and the stream ends with the task."""
    cluster, links = held
    handle, stream = begun(cluster, links)
    for item in ("a", {"b"}, None):
        links.give(handle.id, item)
        assert next(stream) == item
        assert handle.status() == "running"
    links.end(handle.id, items=3)
    assert list(stream) == []
    assert list(stream) == []


def test_who_comes_late_or_twice_reads_from_the_beginning(cluster: Cluster) -> None:
    """By iterating over the handle, over another stream, or over another handle of the task."""
    handle = cluster.submit(count, 5)
    first = handle.stream()
    assert next(first) == 0
    assert list(handle) == [0, 1, 2, 3, 4]
    assert list(cluster.handle(handle.id)) == [0, 1, 2, 3, 4]
    assert list(first) == [1, 2, 3, 4]


def test_the_value_is_the_list(cluster: Cluster) -> None:
    """Of `result`, of an awaited handle, of a map, and of every shard."""
    assert cluster.submit(count, 3).result(WAIT_S) == [0, 1, 2]
    assert cluster.submit(count, 0).result(WAIT_S) == []
    assert list(cluster.map(count, [0, 2, 1])) == [[], [0, 1], [0]]

    async def awaited() -> Any:
        return await cluster.submit(count, 2)

    assert asyncio.run(awaited()) == [0, 1]


@pytest.mark.parametrize("piece_bytes_max", [1, 5, 8, 13, 1000])
def test_items_are_whole_whatever_the_pieces(cluster: Cluster, piece_bytes_max: int) -> None:
    """A large item comes in many pieces, and many small ones in one."""
    links_of(cluster).piece_bytes_max = piece_bytes_max
    assert list(cluster.submit(count, 6)) == list(range(6))


def test_an_event_loop_is_not_blocked(held: tuple[Cluster, MemoryLinks]) -> None:
    """While a reader waits for an item, other work of its loop goes on: here the item's own making."""
    cluster, links = held
    handle, _ = begun(cluster, links)

    async def read() -> list[Any]:
        async def make() -> None:
            for item in range(3):
                links.give(handle.id, item)
                await asyncio.sleep(0)
            links.end(handle.id, items=3)

        making = asyncio.get_running_loop().create_task(make())
        found = [item async for item in handle]
        await making
        return found

    assert asyncio.run(read()) == [0, 1, 2]


@pytest.mark.parametrize("error", [LookupError("behind"), TimeoutError("its own")])
def test_an_exception_comes_behind_the_items(held: tuple[Cluster, MemoryLinks], error: Exception) -> None:
    """As it was raised, also where it looks like one of ours."""
    cluster, links = held
    handle, stream = begun(cluster, links)
    links.give(handle.id, 1, 2)
    pickled = {"pickled": _pickled(error), "reason": "failed", "type": "E", "message": "m"}
    links.end(handle.id, "failed", error=pickled, retryable=False)
    assert [next(stream), next(stream)] == [1, 2]
    with pytest.raises(type(error), match=str(error)):
        next(stream)


def _pickled(error: Exception) -> str:
    return b64encode(cloudpickle.dumps(error)).decode()


def retried_behind_three(cluster: Cluster, links: MemoryLinks) -> tuple[hx.Handle, Iterator[Any]]:
    """Return a task in its second attempt, and a stream that had three items of the first one."""
    handle, stream = begun(cluster, links)
    links.give(handle.id, 0, 1, 2)
    assert [next(stream), next(stream), next(stream)] == [0, 1, 2]
    links.end(handle.id, "lost")
    links.begin(handle.id)
    return handle, stream


def test_a_retry_gives_no_item_twice(held: tuple[Cluster, MemoryLinks]) -> None:
    """It yields them again, and the reader goes on behind those that it had."""
    cluster, links = held
    handle, stream = retried_behind_three(cluster, links)
    links.give(handle.id, 0, 1)
    links.give(handle.id, 2, 3)
    links.end(handle.id, items=4)
    assert list(stream) == [3]
    assert list(handle) == [0, 1, 2, 3]


def test_a_retry_that_yields_less_breaks_the_stream(held: tuple[Cluster, MemoryLinks]) -> None:
    """The reader has items that this attempt did not yield: the error has both numbers."""
    cluster, links = held
    handle, stream = retried_behind_three(cluster, links)
    links.give(handle.id, 0)
    links.end(handle.id, items=1)
    with pytest.raises(hx.StreamBroken, match="1 items in attempt 2, and 3 before"):
        next(stream)
    assert list(handle) == [0]


def test_items_that_are_gone_are_no_short_stream(held: tuple[Cluster, MemoryLinks]) -> None:
    """The node removed them, by age: every reader is told how many are missing."""
    cluster, links = held
    handle, stream = begun(cluster, links)
    links.give(handle.id, 0, 1)
    assert next(stream) == 0
    links.end(handle.id, items=3)
    assert next(stream) == 1
    with pytest.raises(hx.ResultLostError, match="has yielded 3 items, and 1 of them are gone"):
        next(stream)
    links.yielded.clear()
    with pytest.raises(hx.ResultLostError, match="3 of them are gone"):
        handle.result(WAIT_S)


def test_a_cancelled_task_gives_what_it_had(held: tuple[Cluster, MemoryLinks]) -> None:
    """Then TaskCancelledError; ending a stream does not cancel the task."""
    cluster, links = held
    handle, stream = begun(cluster, links)
    links.give(handle.id, 0, 1)
    assert next(stream) == 0
    del stream
    stream = handle.stream()
    assert [next(stream), next(stream)] == [0, 1]
    assert handle.status() == "running"
    assert handle.cancel()
    with pytest.raises(hx.TaskCancelledError):
        next(stream)


def test_a_timeout_is_for_each_item(held: tuple[Cluster, MemoryLinks]) -> None:
    """The stream can be read on afterwards."""
    cluster, links = held
    handle, _ = begun(cluster, links)
    stream = handle.stream(timeout=0.05)
    with pytest.raises(TimeoutError, match=rf"{handle.id} has not yielded within 0.05 s"):
        next(stream)

    async def later() -> Any:
        return await anext(stream)

    with pytest.raises(TimeoutError, match="has not yielded"):
        asyncio.run(later())
    links.give(handle.id, 7)
    links.end(handle.id, items=1)
    assert list(stream) == [7]


def test_a_reader_that_stops_waiting_loses_no_item(held: tuple[Cluster, MemoryLinks]) -> None:
    """Not even one that came just then: the next reader of the stream gets it."""
    cluster, links = held
    handle, _ = begun(cluster, links)
    stream = handle.stream(timeout=WAIT_S)

    async def read() -> list[Any]:
        waiting = asyncio.ensure_future(anext(stream))
        await asyncio.sleep(0)
        links.give(handle.id, 0)
        # This loop stands still meanwhile, so it does not hear that the item has come.
        until(lambda: stream._pickles._given == 1)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        links.give(handle.id, 1)
        links.end(handle.id, items=2)
        return [item async for item in stream]

    assert asyncio.run(read()) == [0, 1]


def test_what_did_not_yield_is_refused_by_name(cluster: Cluster) -> None:
    """With what to do instead; so is a handle where a list of handles is expected."""
    handle = cluster.submit(value, 1)
    with pytest.raises(TypeError, match=rf"{handle.id} did not yield: read its value with result\(\)"):
        next(handle.stream())
    sharded = cluster.submit(count, 2, shards=2)
    assert sharded.result(WAIT_S) == [[0, 1], [0, 1]]
    with pytest.raises(TypeError, match="has shards"):
        next(sharded.stream())
    assert list(cluster.handle(shard_id(sharded.id, 0))) == [0, 1]
    with pytest.raises(TypeError, match="give a list of handles"):
        hx.wait(handle)
    with pytest.raises(TypeError, match="give a list of handles"):
        cluster.cancel(handle)
    for one in (handle, handle.id):
        with pytest.raises(TypeError, match="depends_on must be a list of handles or ids"):
            cluster.submit(value, 1, depends_on=one)
    with pytest.raises(Refused):
        next(cluster.handle("task-none").stream())


def test_a_node_that_is_away_is_waited_for(
    held: tuple[Cluster, MemoryLinks], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A killed node worker comes back within seconds, while the task has not ended."""
    monkeypatch.setattr(streams, "AGAIN_S_MAX", 0.01)
    cluster, links = held
    handle, stream = begun(cluster, links)
    links.give(handle.id, 5)
    real, tries = links.read_items, list[int]()

    async def away(*arguments: Any) -> Any:
        tries.append(1)
        if len(tries) < 3:
            raise CallFailed("its process has ended")
        return await real(*arguments)

    monkeypatch.setattr(links, "read_items", away)
    assert next(stream) == 5
