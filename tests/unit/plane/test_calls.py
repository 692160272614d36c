"""Calls outlive a restart of the other end, for as long as patience says; in virtual time."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from helix_ray.core.access import SYSTEM
from helix_ray.core.errors import ErrorCode, Rejected
from helix_ray.core.orders import Order, Receipt, SubmitTasks
from helix_ray.core.questions import GetTask
from helix_ray.plane.batching import CALLS_UNDER_WAY_MAX, OrderBatches
from helix_ray.plane.calls import UNAVAILABLE, AnswerTimeouts, Calls
from helix_ray.plane.control import Plane
from helix_ray.plane.links import CallFailed, LinkLost
from helix_ray.plane.responses import SourceUnavailable
from helix_ray.ports import NotReady
from tests.contract.virtual_time import run


class _Patient:
    """Calls that all take patience: nothing can be begun without."""

    def __init__(self, master: Callable[[str, list[Order]], Awaitable[Any]]) -> None:
        self.master = master

    def begin(self, method: str, *arguments: Any, take: Callable[[Any], None]) -> bool:
        return False


Answer = Callable[[], Awaitable[Any]]
PATIENCE = AnswerTimeouts(master_s=10.0, master_answer_s_min=2.0, actor_s=4.0)


class Links:
    """Links whose answers are the test's, one a call; the last one is given again and again."""

    board = None

    def __init__(self, *answers: Any) -> None:
        self.answers = list(answers)
        self.connected = self.closed = 0
        self.calls: list[tuple[str, tuple[Any, ...]]] = []

    async def master(self) -> Links:
        self.connected += 1
        return self

    def close(self) -> None:
        self.closed += 1

    async def call(self, name: str, *arguments: Any) -> Any:
        self.calls.append((name, arguments))
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, Exception):
            raise answer
        return await answer() if callable(answer) else answer


async def never() -> None:
    await asyncio.Event().wait()


async def timed(work: Awaitable[Any]) -> tuple[Any, float]:
    """Return what comes of work, and after how many seconds."""
    loop = asyncio.get_running_loop()
    begun = loop.time()
    return await work, loop.time() - begun


def master(*answers: Any, **how: Any) -> tuple[Any, float, Links]:
    """Call the master once; return the answer, how long it took, and the links."""
    links = Links(*answers)
    answer, took = run(timed(Calls(links, patience=PATIENCE).master("ask", 1, **how)))
    return answer, took, links


def test_a_lost_link_is_made_anew_and_the_call_sent_again() -> None:
    """Whoever asks sees the restart as time."""
    answer, took, links = master(LinkLost("gone"), LinkLost("gone"), {"fine": True})
    assert answer == {"fine": True}
    assert links.connected == 3
    assert links.closed == 2
    assert links.calls == [("ask", (1,))] * 3
    assert took < 1


def test_a_master_that_starts_is_waited_for_and_one_that_cannot_is_not() -> None:
    """It says NotReady without a reason, or with one, which is told to whoever asks."""
    assert master(NotReady(None), {"fine": True})[0] == {"fine": True}
    answer, took, _ = master(NotReady("the disk is full"))
    assert answer.code is ErrorCode.SERVICE_UNAVAILABLE
    assert answer.details["reason"] == "the disk is full"
    assert took == 0


@pytest.mark.parametrize("answer", [LinkLost("gone"), NotReady(None)])
def test_patience_ends(answer: Any) -> None:
    """One that stays away is SERVICE_UNAVAILABLE when patience has run out, and not before."""
    refusal, took, _ = master(answer)
    assert refusal.code is ErrorCode.SERVICE_UNAVAILABLE
    assert 10.0 <= took < 10.5
    assert master(answer, patience_s=0.0)[1] == 0


def test_one_that_hangs_is_let_go() -> None:
    """The wait of the question comes beside patience; after it there is a new link."""
    answer, took, links = master(never, {"fine": True}, wait_s=5.0)
    assert answer is UNAVAILABLE
    assert 15.0 <= took < 15.5
    assert links.closed == 1


def test_a_failure_is_not_asked_for_again() -> None:
    """A bug of the master's would be met again."""
    answer, took, links = master(CallFailed("bug"))
    assert answer is UNAVAILABLE
    assert (took, len(links.calls)) == (0, 1)


def test_other_actors_are_waited_for_for_less() -> None:
    """And their silence is no answer: neither yes nor no."""

    async def ask(links: Links) -> Any:
        return await timed(Calls(links, patience=PATIENCE).history("find", 1))

    assert run(ask(Links(LinkLost("gone"), {"id": 1})))[0] == {"id": 1}
    assert run(ask(Links(None))) == (None, 0)
    for answer in (LinkLost("gone"), never):
        found, took = run(ask(Links(answer)))
        assert found == SourceUnavailable("history")
        assert 4.0 <= took < 4.5
    assert run(ask(Links(CallFailed("bug"))))[0].why == "it failed to answer the question"


def order(title: str) -> Order:
    return Order(SubmitTasks(({"title": title, "type": "planning"},)), SYSTEM, "req-t", title)


def test_what_comes_while_calls_are_under_way_travels_together() -> None:
    """Two calls at once, and everything else in the next."""
    sizes: list[int] = []

    async def call(_: str, batch: list[Order]) -> Any:
        sizes.append(len(batch))
        await asyncio.sleep(1)
        return [Receipt(1, {"seed": each.seed}) for each in batch]

    async def work() -> list[Any]:
        batches = OrderBatches(_Patient(call))
        return await asyncio.gather(*(batches.execute(order(str(n))) for n in range(20)))

    assert [receipt.data["seed"] for receipt in run(work())] == [str(n) for n in range(20)]
    assert sizes[:CALLS_UNDER_WAY_MAX] == [1] * CALLS_UNDER_WAY_MAX
    assert sizes[CALLS_UNDER_WAY_MAX:] == [20 - CALLS_UNDER_WAY_MAX]


def test_what_cannot_be_sent_fails_alone() -> None:
    """One order that is no message: those that travel with it are carried out, and nobody waits for ever."""

    async def call(_: str, batch: list[Order]) -> Any:
        await asyncio.sleep(0)
        if any(each.seed == "bad" for each in batch):
            raise TypeError("cannot be pickled")
        return [Receipt(1, {"seed": each.seed}) for each in batch]

    async def work() -> list[Any]:
        batches = OrderBatches(_Patient(call))
        names = ("a", "b", "c", "bad", "d")
        return await asyncio.gather(*(batches.execute(order(name)) for name in names))

    *fine, bad, last = run(work())
    assert [receipt.data["seed"] for receipt in (*fine, last)] == ["a", "b", "c", "d"]
    assert isinstance(bad, Rejected)
    assert bad.code is ErrorCode.INTERNAL_ERROR


def test_a_refusal_is_everybodys_of_a_batch() -> None:
    """While the master is away, orders and questions are refused one by one, and the
    next ones are tried again."""

    async def work() -> list[Any]:
        plane = Plane(Links(LinkLost("gone")), patience=PATIENCE)
        asks = [plane.query(GetTask(f"task-{n}"), SYSTEM) for n in range(5)]
        orders = [plane.execute(order(str(n))) for n in range(5)]
        found = await asyncio.gather(*asks, *orders)
        await plane.aclose()
        return found

    assert run(work()) == [UNAVAILABLE] * 10
