"""A batch goes to a master that is reached already without a task; what takes patience is asked for again."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from actors.local_server import LocalServer
from helix_ray.core.access import SYSTEM
from helix_ray.core.questions import GetTask
from helix_ray.plane.batching import QuestionBatches
from helix_ray.plane.calls import UNAVAILABLE, AnswerTimeouts, Calls
from helix_ray.plane.links import MasterLink
from helix_ray.plane.local_link import LocalLink
from helix_ray.ports import NotReady

QUESTION = GetTask("task-1")


class Master:
    """Answers batches of questions, as long as it is not told otherwise; each start
    has a socket of its own."""

    def __init__(self) -> None:
        self.answer: Callable[[], Any] = lambda: None
        self.batches: list[int] = []
        self.starts = 0
        self._server: LocalServer | None = None

    async def query_batch(self, questions: list[Any]) -> Any:
        """Return the number of the batch for each question."""
        self.batches.append(len(questions))
        said = self.answer()
        if said is not None:
            return await said if isinstance(said, Awaitable) else said
        return len(self.batches), [{"batch": len(self.batches)} for _ in questions]

    async def master(self) -> MasterLink:
        """Connect, as links.Links; starts it where it does not run."""
        if self._server is None:
            self._server = LocalServer({"query_batch": self.query_batch})
            self.starts += 1
        return await LocalLink.connect(await self._server.listen())

    async def call(self, actor: str, method: str, *arguments: Any) -> Any:
        """Know no other actor."""
        raise AssertionError(actor)

    def die(self) -> None:
        """Close the socket and every connection."""
        if self._server is not None:
            self._server.close()
            self._server = None


def run(work: Callable[[Master, QuestionBatches], Awaitable[None]], master_s: float = 30.0) -> None:
    """Run a test's coroutine on batches whose link is up."""

    async def go() -> None:
        master = Master()
        calls = Calls(master, patience=AnswerTimeouts(master_s=master_s, master_answer_s_min=0.05))
        batches = QuestionBatches(calls)
        try:
            async with asyncio.timeout(60):
                assert await batches.ask(QUESTION, SYSTEM) == (1, {"batch": 1})
                await work(master, batches)
        finally:
            calls.close()
            master.die()
            await asyncio.sleep(0)

    asyncio.run(go())


def test_questions_of_one_turn_travel_in_two_batches() -> None:
    """Two calls are under way at once; what comes meanwhile is together in the next one."""

    async def work(master: Master, batches: QuestionBatches) -> None:
        await asyncio.gather(*(batches.ask(QUESTION, SYSTEM) for _ in range(10)))
        assert master.batches == [1, 1, 1, 8]

    run(work)


def test_a_master_that_dies_is_asked_again() -> None:
    """The connection breaks under a question: its answer comes from the next life."""

    async def work(master: Master, batches: QuestionBatches) -> None:
        def die() -> Any:
            master.answer = lambda: None
            master.die()
            return asyncio.sleep(60)

        master.answer = die
        assert await batches.ask(QUESTION, SYSTEM) == (3, {"batch": 3})
        assert master.starts == 2

    run(work)


def test_a_master_that_does_not_live_yet_is_asked_again() -> None:
    """NotReady without a reason is no answer while there is patience; with one it
    is a refusal that says it."""

    async def work(master: Master, batches: QuestionBatches) -> None:
        told = [NotReady(None), NotReady(None)]
        master.answer = lambda: told.pop() if told else None
        assert await batches.ask(QUESTION, SYSTEM) == (4, {"batch": 4})
        master.answer = lambda: NotReady("the disk is full")
        _, refused = await batches.ask(QUESTION, SYSTEM)
        assert refused.details["reason"] == "the disk is full"  # type: ignore[union-attr]

    run(work)


def test_a_master_that_hangs_is_given_up(caplog: pytest.LogCaptureFixture) -> None:
    """When patience has run out the question is refused, and the link is not used again."""

    async def work(master: Master, batches: QuestionBatches) -> None:
        master.answer = lambda: asyncio.sleep(60)
        assert await batches.ask(QUESTION, SYSTEM) == (0, UNAVAILABLE)
        master.answer = lambda: None
        assert (await batches.ask(QUESTION, SYSTEM))[0] == 3

    run(work, master_s=3.0)
    assert "does not respond to a call of query_batch" in caplog.text


def test_a_master_that_fails_is_not_asked_again() -> None:
    """A bug is met again by whoever asks again: the question is refused at once,
    and the next one is asked."""

    async def work(master: Master, batches: QuestionBatches) -> None:
        def fail() -> Any:
            raise ValueError("a bug")

        master.answer = fail
        assert await batches.ask(QUESTION, SYSTEM) == (0, UNAVAILABLE)
        assert master.batches == [1, 1]
        master.answer = lambda: None
        assert (await batches.ask(QUESTION, SYSTEM))[0] == 3

    run(work)
