"""Sends orders and questions in batches: those that come while a call is under way share the next one."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine
from functools import partial
from typing import Any, Generic, Protocol, TypeVar

from helix_ray.core.access import Principal
from helix_ray.core.errors import ErrorCode, Rejected
from helix_ray.core.orders import AnyOrder, AnyReceipt
from helix_ray.core.questions import QuestionKind, View
from helix_ray.core.weight import LIGHT_TASKS_MAX
from helix_ray.plane.calls import AGAIN

log = logging.getLogger(__name__)

Asked = TypeVar("Asked")
Got = TypeVar("Got")

# How many calls of a queue are under way at a time; what comes meanwhile waits and shares the next one.
CALLS_UNDER_WAY_MAX = 2
# In weight (helix_ray/core/weight.py).
CALL_TASKS_MAX = 500
INTERNAL = Rejected(ErrorCode.INTERNAL_ERROR, "Internal error")

# A question of whatever kind, and who asks; which view it is answered with, the question says.
Asking = tuple[QuestionKind[Any], Principal]
# A request, and the future of its answer.
Waiting = tuple[Asked, "asyncio.Future[Got]"]


class MasterCalls(Protocol):
    """The calls to the master that batches use; `helix_ray.plane.calls.Calls` implements them."""

    def begin(self, method: str, *arguments: Any, take: Callable[[Any], None]) -> bool:
        """Send a call without waiting; False where that is not possible and nothing was sent."""
        ...

    async def master(self, method: str, *arguments: Any) -> Any:
        """Return the answer to a call, or a Rejected."""
        ...


class _Batches(Generic[Asked, Got]):
    """A queue of requests to the master; for use on one event loop.

    `method` is the master's method for a batch.
    """

    method: str

    def __init__(self, calls: MasterCalls) -> None:
        self._calls = calls
        self._under_way = 0
        self._running: set[asyncio.Task[None]] = set()

    def _take(self) -> list[Waiting[Asked, Got]]:
        """Take the requests of one call from the queue; none when it is empty."""
        raise NotImplementedError

    def _split(self, response: Any, count: int) -> list[Got]:
        """Split the master's response into the answers to a batch; a Rejected is the answer to each."""
        raise NotImplementedError

    def _failed(self) -> Got:
        """Return the answer to a request that cannot be sent at all."""
        raise NotImplementedError

    def _send(self) -> None:
        if self._under_way < CALLS_UNDER_WAY_MAX and (batch := self._take()):
            self._under_way += 1
            asked = [asked for asked, _ in batch]
            if not self._calls.begin(self.method, asked, take=partial(self._arrived, batch)):
                self._spawn(self._travel(batch))

    def _arrived(self, batch: list[Waiting[Asked, Got]], response: Any) -> None:
        if response is AGAIN:
            self._spawn(self._travel(batch))
        else:
            self._under_way -= 1
            self._give_out(batch, self._split(response, len(batch)))

    async def _travel(self, batch: list[Waiting[Asked, Got]]) -> None:
        try:
            answers = await self._carried([asked for asked, _ in batch])
        finally:
            self._under_way -= 1
        self._give_out(batch, answers)

    def _give_out(self, batch: list[Waiting[Asked, Got]], answers: list[Got]) -> None:
        for (_, future), answer in zip(batch, answers, strict=True):
            if not future.done():
                future.set_result(answer)
        self._send()

    async def _carried(self, batch: list[Asked]) -> list[Got]:
        try:
            return self._split(await self._calls.master(self.method, batch), len(batch))
        except Exception:
            # A request that cannot be encoded must fail alone, without the others of its batch.
            if len(batch) > 1:
                return [answer for asked in batch for answer in await self._carried([asked])]
            log.exception("could not send a message to the master")
            return [self._failed()]

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._running.add(task)
        task.add_done_callback(self._running.discard)


class _OrderLine(_Batches[AnyOrder, "AnyReceipt | Rejected"]):
    """A queue of orders, which are sent in separate calls."""

    method = "execute_batch"

    def __init__(self, calls: MasterCalls) -> None:
        super().__init__(calls)
        self._line: list[tuple[Waiting[AnyOrder, AnyReceipt | Rejected], int]] = []

    async def execute(self, order: AnyOrder, weight: int) -> AnyReceipt | Rejected:
        """Carry out an order; it is durable when a Receipt comes back."""
        future: asyncio.Future[AnyReceipt | Rejected] = asyncio.get_running_loop().create_future()
        self._line.append(((order, future), weight))
        self._send()
        return await future

    def _take(self) -> list[Waiting[AnyOrder, AnyReceipt | Rejected]]:
        """Take the orders of one call: the first one, and more up to the maximum weight."""
        count, room = 0, CALL_TASKS_MAX
        while count < len(self._line) and room > 0:
            room -= self._line[count][1]
            count += 1
        taken = [waiting for waiting, _ in self._line[:count]]
        del self._line[:count]
        return taken

    def _split(
        self, response: list[AnyReceipt | Rejected] | Rejected, count: int
    ) -> list[AnyReceipt | Rejected]:
        return [response] * count if isinstance(response, Rejected) else response

    def _failed(self) -> AnyReceipt | Rejected:
        return INTERNAL


class OrderBatches:
    """Two queues, so that orders about few tasks do not wait behind orders that may affect
    many, or for their answers."""

    def __init__(self, calls: MasterCalls) -> None:
        self._light, self._heavy = _OrderLine(calls), _OrderLine(calls)

    async def execute(self, order: AnyOrder) -> AnyReceipt | Rejected:
        """Carry out an order; it is durable when a Receipt comes back."""
        weight = order.work()
        line = self._light if weight <= LIGHT_TASKS_MAX else self._heavy
        return await line.execute(order, weight)


class QuestionBatches(_Batches[Asking, tuple[int, Any]]):
    """A queue of questions whose answers are short and do not wait for changes."""

    method = "query_batch"

    def __init__(self, calls: MasterCalls) -> None:
        super().__init__(calls)
        self._asked: list[Waiting[Asking, tuple[int, Any]]] = []

    async def ask(self, question: QuestionKind[View], by: Principal) -> tuple[int, View | Rejected]:
        """Return the answer, and a seq that it reflects."""
        future: asyncio.Future[tuple[int, Any]] = asyncio.get_running_loop().create_future()
        self._asked.append(((question, by), future))
        self._send()
        return await future

    def _take(self) -> list[Waiting[Asking, tuple[int, Any]]]:
        taken, self._asked = self._asked, []
        return taken

    def _split(self, response: tuple[int, list[Any]] | Rejected, count: int) -> list[tuple[int, Any]]:
        if isinstance(response, Rejected):
            return [(0, response)] * count
        seq, answers = response
        return [(seq, answer) for answer in answers]

    def _failed(self) -> tuple[int, Any]:
        return 0, INTERNAL
