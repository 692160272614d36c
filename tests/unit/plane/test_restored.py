"""Tasks that come back into memory, or leave it, between the answers of the master and the history."""

from __future__ import annotations

import asyncio
from typing import Any, cast

from helix_ray.core.access import SYSTEM
from helix_ray.core.errors import ErrorCode, NotInMemory, Rejected, not_found
from helix_ray.core.orders import Order, Recalled, Receipt, RetryTask
from helix_ray.core.questions import GetTask, WaitTasks
from helix_ray.plane.calls import Calls
from helix_ray.plane.history import Retired

TASK = "task-1"


class Restored:
    """The calls of a plane whose history has let the task go: the master has it again."""

    def __init__(self, answer: dict[str, Any] | Rejected) -> None:
        self.answer = answer

    async def history(self, method: str, *arguments: Any) -> Any:
        return arguments[-1] if method == "wait" else None

    async def master(self, method: str, *arguments: Any) -> Any:
        return self.answer


def test_a_task_that_was_restored_meanwhile_is_found() -> None:
    """Neither the master nor the history had it when they were asked; it was there all the time."""
    retired = Retired(cast(Calls, Restored({"id": TASK, "status": "pending"})))
    found = asyncio.run(retired.completed(GetTask(TASK), SYSTEM, not_found("Task", TASK)))
    assert found == {"id": TASK, "status": "pending"}


def test_a_task_that_nobody_has_is_not_found() -> None:
    """Asked twice, the master says the same."""
    retired = Retired(cast(Calls, Restored(not_found("Task", TASK))))
    found = asyncio.run(retired.completed(GetTask(TASK), SYSTEM, not_found("Task", TASK)))
    assert isinstance(found, Rejected)
    assert found.code is ErrorCode.NOT_FOUND


def test_whoever_waits_for_it_waits_on() -> None:
    """It is open, not unknown; what the history said of others stays."""
    retired = Retired(cast(Calls, Restored({"done": [], "unknown": [], "open": 1})))
    reply = {"done": [{"id": "task-2"}], "unknown": [TASK], "open": 0}
    found = asyncio.run(retired.completed(WaitTasks((TASK, "task-2")), SYSTEM, reply))
    assert found == {"done": [{"id": "task-2"}], "unknown": [], "open": 1}


def test_a_task_that_left_memory_while_others_were_recalled_is_recalled_too() -> None:
    """An order found its task in memory, and lacked another: when it comes again, both have left."""
    order = Order(RetryTask(TASK), SYSTEM, "req-1", "seed")
    asked: list[tuple[str, ...]] = []

    class History:
        async def recall(self, task_ids: tuple[str, ...], causes: tuple[str, ...], to_run: bool) -> Recalled:
            asked.append(task_ids)
            return Recalled(1, dict.fromkeys(task_ids, cast(Any, "a record")), frozenset(causes))

    async def execute(given: Order) -> Receipt | Rejected:
        if given.recalled is None:
            return NotInMemory(ErrorCode.CONFLICT, "", {}, ("task-2",), (TASK,))
        if TASK not in given.recalled.tasks:
            return not_found("Task", TASK)
        assert given.recalled.causes == {TASK}
        return Receipt(7, {})

    found = asyncio.run(Retired(cast(Calls, History())).carried_out(order, execute))
    assert found == Receipt(7, {})
    assert asked == [("task-2",), (TASK, "task-2")]


def test_an_order_finds_what_was_restored_meanwhile() -> None:
    """Memory had let the task go, and the history knows by now that it is back: the order is given again."""
    order = Order(RetryTask(TASK), SYSTEM, "req-1", "seed")

    class History:
        async def recall(self, task_ids: tuple[str, ...], causes: tuple[str, ...], to_run: bool) -> Recalled:
            return Recalled(1, dict.fromkeys(task_ids))

    async def execute(given: Order) -> Receipt | Rejected:
        return not_found("Task", TASK) if given.recalled is None else Receipt(7, {})

    found = asyncio.run(Retired(cast(Calls, History())).carried_out(order, execute))
    assert found == Receipt(7, {})
