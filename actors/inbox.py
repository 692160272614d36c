"""Orders that wait for a commit, and which of them go into the next one.

A commit is bounded by weight (helix_ray/core/weight.py), not by the number of orders. A heavy call goes first, so it is
never starved; then the light ones, which do not wait behind other heavy calls.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import NamedTuple

from helix_ray.core.errors import Rejected
from helix_ray.core.orders import Order, Receipt
from helix_ray.core.weight import LIGHT_TASKS_MAX, weight_of

# Bounds how long the loop is busy before it looks at anything else.
COMMIT_TASKS_MAX = 1000

Answers = list[Receipt | Rejected]


class Call(NamedTuple):
    """Orders that came in one message, and who waits for their answers."""

    orders: Sequence[Order]
    future: asyncio.Future[Answers]
    weight: int


class Inbox:
    """Calls in the order of their arrival."""

    def __init__(self) -> None:
        self._light: list[Call] = []
        self._heavy: list[Call] = []

    def __bool__(self) -> bool:
        return bool(self._light or self._heavy)

    def put(self, orders: Sequence[Order], future: asyncio.Future[Answers]) -> None:
        """Add a call."""
        call = Call(orders, future, sum(map(weight_of, orders)))
        (self._heavy if call.weight > LIGHT_TASKS_MAX else self._light).append(call)

    def take(self) -> list[Call]:
        """Take the calls of one commit: up to COMMIT_TASKS_MAX of weight, and at least one call."""
        taken = self._heavy[:1]
        weight = sum(call.weight for call in taken)
        del self._heavy[:1]
        # Not less than a call's worth of light ones, beside whatever heavy call there is.
        room = max(COMMIT_TASKS_MAX - weight, COMMIT_TASKS_MAX // 2)
        room -= _move(self._light, taken, room)
        _move(self._heavy, taken, min(room, COMMIT_TASKS_MAX - weight))
        return taken


def _move(line: list[Call], taken: list[Call], room: int) -> int:
    count = weight = 0
    while count < len(line) and (weight + line[count].weight <= room or not taken):
        weight += line[count].weight
        taken.append(line[count])
        count += 1
    del line[:count]
    return weight
