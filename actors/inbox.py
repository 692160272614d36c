"""The queue of orders before a commit, and the choice of those for the next one.

A commit is limited by weight (helix_ray/core/weight.py), not by the number of orders: it takes one heavy
call, and light ones, which do not wait behind other heavy calls. A commit with enough facts ends before all
of its orders are carried out. Light and heavy calls alternate in going first, so that neither kind starves;
the rest of a commit comes first in the next one.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from helix_ray.core.errors import Rejected
from helix_ray.core.orders import AnyOrder, AnyReceipt, Order
from helix_ray.core.weight import LIGHT_TASKS_MAX

# Limits how long the loop is busy with one commit.
COMMIT_TASKS_MAX = 1000

Answers = list[AnyReceipt | Rejected]


@dataclass(slots=True)
class Call:
    """The orders of one message, and the future of their answers; `answers` are those so far."""

    orders: Sequence[AnyOrder]
    future: asyncio.Future[Answers]
    weight: int
    answers: Answers = field(default_factory=list)

    def left(self) -> Sequence[AnyOrder]:
        """Return the orders that are not carried out yet."""
        return self.orders[len(self.answers) :]


class Inbox:
    """Calls in the order of their arrival."""

    def __init__(self, weigh: Callable[[AnyOrder], int] = Order.work) -> None:
        self._weigh = weigh
        self._light: list[Call] = []
        self._heavy: list[Call] = []
        self._heavy_first = False

    def __bool__(self) -> bool:
        return bool(self._light or self._heavy)

    def put(self, orders: Sequence[AnyOrder], future: asyncio.Future[Answers]) -> None:
        """Add a call."""
        call = Call(orders, future, sum(map(self._weigh, orders)))
        (self._heavy if call.weight > LIGHT_TASKS_MAX else self._light).append(call)

    def next(self) -> list[Call]:
        """Return the calls of the next commit: up to COMMIT_TASKS_MAX of weight, and at least one call.

        They stay in the queue until they are answered.
        """
        heavy = self._heavy[:1]
        weight = sum(call.weight for call in heavy)
        # At least one full call of light orders, beside any heavy call.
        light = _first(self._light, max(COMMIT_TASKS_MAX - weight, COMMIT_TASKS_MAX // 2))
        weight += sum(call.weight for call in light)
        heavy += _first(self._heavy[1:], COMMIT_TASKS_MAX - weight)
        self._heavy_first = not self._heavy_first
        return [*heavy, *light] if self._heavy_first else [*light, *heavy]

    def answer(self, calls: Sequence[Call], answers: Answers) -> None:
        """Assign answers to the first orders of the calls that `next` returned."""
        start = 0
        for call in calls:
            some = answers[start : start + len(call.left())]
            start += len(some)
            call.answers += some
            if not call.left() and not call.future.cancelled():
                call.future.set_result(call.answers)
        for line in (self._light, self._heavy):
            _drop_answered(line)


def _drop_answered(line: list[Call]) -> None:
    count = 0
    while count < len(line) and not line[count].left():
        count += 1
    del line[:count]


def _first(line: Sequence[Call], room: int) -> list[Call]:
    """Return the first calls of a queue that fit in one commit."""
    count = 0
    for call in line:
        room -= call.weight
        if room < 0:
            break
        count += 1
    return list(line[:count])
