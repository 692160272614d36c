"""Orders and questions that come while a call is under way travel together in the next one."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, Generic, TypeVar

from helix_ray.core.access import Principal
from helix_ray.core.answers import Answer
from helix_ray.core.errors import ErrorCode, Rejected
from helix_ray.core.orders import Order, Receipt
from helix_ray.core.questions import Question
from helix_ray.core.weight import LIGHT_TASKS_MAX, weight_of

log = logging.getLogger(__name__)

Asked = TypeVar("Asked")
Got = TypeVar("Got")

# Calls of a line on their way to the master at once; more than that waits and travels together.
CALLS_UNDER_WAY_MAX = 2
# In weight (helix_ray/core/weight.py).
CALL_TASKS_MAX = 500
INTERNAL = Rejected(ErrorCode.INTERNAL_ERROR, "Internal error")

# Something asked, and who waits for what comes of it.
Waiting = tuple[Asked, "asyncio.Future[Got]"]
# Calls a method of the master; a Rejected in place of an answer is everybody's.
Call = Callable[..., Awaitable[Any]]


class _Batches(Generic[Asked, Got]):
    """Lines before the master; lives on one event loop."""

    def __init__(self) -> None:
        self._under_way = 0
        self._running: set[asyncio.Task[None]] = set()

    def _take(self) -> list[Waiting[Asked, Got]]:
        """Take what goes into one call; nothing when nobody waits."""
        raise NotImplementedError

    async def _carry(self, batch: list[Asked]) -> list[Got]:
        """Return the answers to a batch, one each."""
        raise NotImplementedError

    def _failed(self) -> Got:
        """Return what somebody gets whose message cannot be sent at all."""
        raise NotImplementedError

    def _send(self) -> None:
        if self._under_way < CALLS_UNDER_WAY_MAX and (batch := self._take()):
            self._under_way += 1
            self._spawn(self._travel(batch))

    async def _travel(self, batch: list[Waiting[Asked, Got]]) -> None:
        try:
            answers = await self._carried([asked for asked, _ in batch])
        finally:
            self._under_way -= 1
        for (_, future), answer in zip(batch, answers, strict=True):
            if not future.done():
                future.set_result(answer)
        self._send()

    async def _carried(self, batch: list[Asked]) -> list[Got]:
        try:
            return await self._carry(batch)
        except Exception:
            # What cannot be made a message fails by itself, and not those that travel with it.
            if len(batch) > 1:
                return [answer for asked in batch for answer in await self._carried([asked])]
            log.exception("a message to the master could not be sent")
            return [self._failed()]

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._running.add(task)
        task.add_done_callback(self._running.discard)


class _OrderLine(_Batches[Order, "Receipt | Rejected"]):
    """Orders that travel in calls of their own."""

    def __init__(self, call: Call) -> None:
        super().__init__()
        self._call = call
        self._line: list[tuple[Waiting[Order, Receipt | Rejected], int]] = []

    async def execute(self, order: Order, weight: int) -> Receipt | Rejected:
        """Carry out an order; it is durable when a Receipt comes back."""
        future: asyncio.Future[Receipt | Rejected] = asyncio.get_running_loop().create_future()
        self._line.append(((order, future), weight))
        self._send()
        return await future

    def _take(self) -> list[Waiting[Order, Receipt | Rejected]]:
        """Take the orders of one call: the first one, and more while there is room."""
        count, room = 0, CALL_TASKS_MAX
        while count < len(self._line) and room > 0:
            room -= self._line[count][1]
            count += 1
        taken = [waiting for waiting, _ in self._line[:count]]
        del self._line[:count]
        return taken

    async def _carry(self, batch: list[Order]) -> list[Receipt | Rejected]:
        answers: list[Receipt | Rejected] | Rejected = await self._call("execute_batch", batch)
        return [answers] * len(batch) if isinstance(answers, Rejected) else answers

    def _failed(self) -> Receipt | Rejected:
        return INTERNAL


class OrderBatches:
    """Orders that touch few tasks do not wait behind those that may touch many, nor for their answers: each kind has its line."""

    def __init__(self, call: Call) -> None:
        self._light, self._heavy = _OrderLine(call), _OrderLine(call)

    async def execute(self, order: Order) -> Receipt | Rejected:
        """Carry out an order; it is durable when a Receipt comes back."""
        weight = weight_of(order)
        line = self._light if weight <= LIGHT_TASKS_MAX else self._heavy
        return await line.execute(order, weight)


class QuestionBatches(_Batches[tuple[Question, Principal], tuple[int, Answer]]):
    """Questions whose answers are short and do not wait for news."""

    def __init__(self, call: Call) -> None:
        super().__init__()
        self._call = call
        self._asked: list[Waiting[tuple[Question, Principal], tuple[int, Answer]]] = []

    async def ask(self, question: Question, by: Principal) -> tuple[int, Answer]:
        """Return the answer, and the seq that it is at least as of."""
        future: asyncio.Future[tuple[int, Answer]] = asyncio.get_running_loop().create_future()
        self._asked.append(((question, by), future))
        self._send()
        return await future

    def _take(self) -> list[Waiting[tuple[Question, Principal], tuple[int, Answer]]]:
        taken, self._asked = self._asked, []
        return taken

    async def _carry(self, batch: list[tuple[Question, Principal]]) -> list[tuple[int, Answer]]:
        told: tuple[int, list[Answer]] | Rejected = await self._call("query_batch", batch)
        if isinstance(told, Rejected):
            return [(0, told)] * len(batch)
        seq, answers = told
        return [(seq, answer) for answer in answers]

    def _failed(self) -> tuple[int, Answer]:
        return 0, INTERNAL
