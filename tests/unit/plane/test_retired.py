"""What is refused by what the history knows is on record like what the master refuses."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from helix_ray.core.access import SYSTEM, Principal
from helix_ray.core.errors import ErrorCode, Rejected, not_found
from helix_ray.core.orders import CancelTask, NoteRefusals, Order, OrderBody, Receipt, UpdateTask
from helix_ray.core.origin import Origin
from helix_ray.plane.history import Retired

BOT = Principal("user-bot", "bot", ("worker",))
TASK = {
    "id": "task-1",
    "status": "completed",
    "attempt": 3,
    "error": None,
    "assigned_worker": "w",
    "owner": "user-1",
}


class KnowsIt:
    """A history that has the task."""

    async def history(self, method: str, *arguments: Any) -> dict[str, Any]:
        assert method == "find"
        return TASK


@pytest.mark.parametrize(
    ("body", "kept"), [(UpdateTask("task-1", "completed", attempt=2), True), (CancelTask("task-1"), False)]
)
def test_a_late_report_on_a_task_that_left_memory_is_noted(body: OrderBody, kept: bool) -> None:
    """In the name of the worker's user, once for however often the order is sent."""
    executed: list[Order] = []

    async def execute(order: Order) -> Receipt | Rejected:
        executed.append(order)
        return Receipt(1, {})

    order = Order(body, BOT, "req-1", "seed-1", origin=Origin("192.0.2.1"))
    retired = Retired(KnowsIt())  # type: ignore[arg-type]
    answer = asyncio.run(retired.carried_out(order, not_found("Task", "task-1"), execute))
    assert isinstance(answer, Rejected)
    assert answer.code is ErrorCode.CONFLICT
    assert bool(executed) == kept
    for noted in executed:
        assert isinstance(noted.body, NoteRefusals)
        assert (noted.by, noted.request_id) == (SYSTEM, "req-1")
        (refusal,) = noted.body.refusals
        assert (refusal.kind, refusal.author, refusal.subject) == ("late_report", BOT.id, "task-1")
        assert refusal.origin == order.origin
