"""Orders that wait for a commit, and which of them go into the next one.

A commit is bounded by weight (helix_ray/core/weight.py), not by the number of orders: one heavy call, and
light ones, which do not wait behind other heavy calls. A commit that has made enough facts ends before all of
its orders are carried out. So that neither kind waits for ever, they take turns in going first; what a commit
left is the first of its kind.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from helix_ray.core.errors import Rejected
from helix_ray.core.orders import Order, Receipt
from helix_ray.core.weight import LIGHT_TASKS_MAX, weight_of

# Bounds how long the loop is busy before it looks at anything else.
COMMIT_TASKS_MAX = 1000

Answers = list[Receipt | Rejected]


@dataclass(slots=True)
class Call:
    """Orders that came in one message, and who waits for their answers; `answers` are
    those of the first orders."""

    orders: Sequence[Order]
    future: asyncio.Future[Answers]
    weight: int
    answers: Answers = field(default_factory=list)

    def left(self) -> Sequence[Order]:
        """Return the orders that are still to be carried out."""
        return self.orders[len(self.answers) :]


class Inbox:
    """Calls in the order of their arrival."""

    def __init__(self, weigh: Callable[[Order], int] = weight_of) -> None:
        self._weigh = weigh
        self._light: list[Call] = []
        self._heavy: list[Call] = []
        self._heavy_first = False

    def __bool__(self) -> bool:
        return bool(self._light or self._heavy)

    def put(self, orders: Sequence[Order], future: asyncio.Future[Answers]) -> None:
        """Add a call."""
        call = Call(orders, future, sum(map(self._weigh, orders)))
        (self._heavy if call.weight > LIGHT_TASKS_MAX else self._light).append(call)

    def next(self) -> list[Call]:
        """Return the calls of the next commit: up to COMMIT_TASKS_MAX of weight, and at least one call.

        They stay until they are answered.
        """
        heavy = self._heavy[:1]
        weight = sum(call.weight for call in heavy)
        # Not less than a call's worth of light ones, beside whatever heavy call there is.
        light = _first(self._light, max(COMMIT_TASKS_MAX - weight, COMMIT_TASKS_MAX // 2))
        weight += sum(call.weight for call in light)
        heavy += _first(self._heavy[1:], COMMIT_TASKS_MAX - weight)
        self._heavy_first = not self._heavy_first
        return [*heavy, *light] if self._heavy_first else [*light, *heavy]

    def answer(self, calls: Sequence[Call], answers: Answers) -> None:
        """Give out the answers of the first orders of the calls that were next."""
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
    """Return the first calls of a line that have room together."""
    count = 0
    for call in line:
        room -= call.weight
        if room < 0:
            break
        count += 1
    return list(line[:count])
