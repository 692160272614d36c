"""What waits in a task's code for other tasks says so, however it waits, and only where the wait lasts."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from helix_ray import cluster as hx
from helix_ray.cluster.api import Cluster
from helix_ray.execution import blocking
from helix_ray.execution.assignment import Blocked, Unblocked
from helix_ray.execution.blocking import AttemptWaits
from tests.unit.cluster.memory_links import links_of

WAIT_S = 60.0
KEY = ("task-parent", 1)


def double(n: int) -> int:
    return 2 * n


class Parent:
    """The attempt of a task whose code is this test; its children run once it has said that it waits."""

    def __init__(self, cluster: Cluster) -> None:
        self.said: list[Any] = []
        self.cluster = cluster

    def say(self, word: Any) -> None:
        """Note a word, and run what is waited for."""
        self.said.append(word)
        if isinstance(word, Blocked):
            self.cluster.background.loop.call_soon_threadsafe(links_of(self.cluster).run_pending)


@pytest.fixture
def parent(connect: Callable[..., Cluster]) -> Iterator[Parent]:
    """A task that runs in this process, and a cluster that holds its children."""
    made = Parent(connect(hold=True))
    blocking.install(AttemptWaits(*KEY, made.say))
    yield made
    blocking.install(None)


async def value(handle: hx.Handle) -> Any:
    return await handle


WAYS: list[tuple[Callable[[hx.Handle], Any], str]] = [
    (lambda handle: handle.result(WAIT_S), "all"),
    (lambda handle: handle.result(), "all"),
    (lambda handle: asyncio.run(value(handle)), "all"),
    (lambda handle: hx.wait([handle], WAIT_S), "all"),
    (lambda handle: hx.wait([handle], return_when="FIRST_COMPLETED"), "any"),
    (lambda handle: hx.wait([handle], return_when="FIRST_EXCEPTION"), "unblocked"),
    (lambda handle: list(hx.as_completed([handle], WAIT_S)), "any"),
    (lambda handle: list(hx.as_completed([handle])), "any"),
    (lambda handle: handle.exception(), "all"),
]


@pytest.mark.parametrize(("way", "until"), WAYS)
def test_every_wait_is_said(parent: Parent, way: Callable[[hx.Handle], Any], until: str) -> None:
    """With the task's id, and with how it ends."""
    handle = parent.cluster.submit(double, 3)
    way(handle)
    assert parent.said == [Blocked(*KEY, (handle.id,), until), Unblocked(*KEY)]
    assert handle.result() == 6
    assert len(parent.said) == 2, "what has ended is not waited for"


def test_a_map_waits_as_well(parent: Parent) -> None:
    """For the value that is read next."""
    assert list(parent.cluster.map(double, range(3))) == [0, 2, 4]
    assert [type(word) for word in parent.said] == [Blocked, Unblocked]


@pytest.mark.parametrize("timeout", [0.0, 0.01])
def test_a_short_wait_says_nothing(parent: Parent, timeout: float) -> None:
    """Nor does one that is over before it could be of use."""
    handle = parent.cluster.submit(double, 3)
    with pytest.raises(TimeoutError, match=f"has not ended within {timeout} s"):
        handle.result(timeout)
    assert hx.wait([handle], timeout) == (set(), {handle})
    with pytest.raises(TimeoutError, match="1 of the tasks have not ended"):
        list(hx.as_completed([handle], timeout))
    assert parent.said == []


def test_a_wait_that_ends_in_vain_has_ended(parent: Parent) -> None:
    """Whoever gives up goes on, and has CPUs again."""
    handle = parent.cluster.submit(double, 3)
    said: list[Any] = []
    blocking.install(AttemptWaits(*KEY, said.append))
    with pytest.raises(TimeoutError):
        handle.result(0.1)
    assert [type(word) for word in said] == [Blocked, Unblocked]


def test_coroutines_that_wait_together_are_one_wait(parent: Parent) -> None:
    """From the first of them to the last."""

    async def both() -> list[Any]:
        handles = [parent.cluster.submit(double, n) for n in range(2)]
        return list(await asyncio.gather(*map(value, handles)))

    assert asyncio.run(both()) == [0, 2]
    assert [type(word) for word in parent.said][-1] is Unblocked
    assert [type(word) for word in parent.said].count(Unblocked) == 1


def test_a_coroutine_that_is_cancelled_waits_no_more(parent: Parent) -> None:
    """Its task goes on, and can be awaited again."""
    handle = parent.cluster.submit(double, 3)
    blocked = threading.Event()
    said: list[Any] = []

    def say(word: Any) -> None:
        said.append(word)
        blocked.set()

    blocking.install(AttemptWaits(*KEY, say))

    async def stop() -> None:
        waiter = asyncio.ensure_future(value(handle))
        await asyncio.to_thread(blocked.wait, WAIT_S)
        waiter.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiter

    asyncio.run(stop())
    assert [type(word) for word in said] == [Blocked, Unblocked]
    parent.cluster.background.loop.call_soon_threadsafe(links_of(parent.cluster).run_pending)
    assert handle.result(WAIT_S) == 6
