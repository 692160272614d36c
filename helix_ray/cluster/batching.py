"""Orders that come while a call is under way travel together in the next one."""

from __future__ import annotations

import asyncio

from helix_ray.cluster.link import Link
from helix_ray.core.errors import Rejected
from helix_ray.core.orders import Order, Receipt, SubmitTasks

CALL_TASKS_MAX = 1000

Waiting = tuple[Order, "asyncio.Future[Receipt | Rejected]"]


class OrderBatcher:
    """Lives on one event loop; `execute` may be called as often as you like."""

    def __init__(self, link: Link) -> None:
        self._link = link
        self._waiting: list[Waiting] = []
        self._sender: asyncio.Task[None] | None = None

    async def execute(self, order: Order) -> Receipt | Rejected:
        """Carry out an order; when a Receipt comes back, it is durable."""
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Receipt | Rejected] = loop.create_future()
        self._waiting.append((order, future))
        if self._sender is None:
            self._sender = loop.create_task(self._send())
        return await future

    async def _send(self) -> None:
        try:
            while self._waiting:
                await self._carry(self._take())
        finally:
            self._sender = None

    async def _carry(self, batch: list[Waiting]) -> None:
        try:
            answers = await self._link.execute([order for order, _ in batch])
        except Exception as error:
            for _, future in batch:
                if not future.done():
                    future.set_exception(error)
            return
        for (_, future), answer in zip(batch, answers, strict=True):
            if not future.done():
                future.set_result(answer)

    def _take(self) -> list[Waiting]:
        weight = count = 0
        for order, _ in self._waiting:
            weight += len(order.body.specs) if isinstance(order.body, SubmitTasks) else 1
            if count and weight > CALL_TASKS_MAX:
                break
            count += 1
        batch, self._waiting = self._waiting[:count], self._waiting[count:]
        return batch
