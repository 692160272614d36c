"""Tasks that come back into memory, or leave it, between the answers of the master and the history."""

from __future__ import annotations

import asyncio
from typing import Any, cast

from helix_ray.core.access import SYSTEM
from helix_ray.core.errors import ErrorCode, NotInMemory, Rejected, not_found
from helix_ray.core.orders import Order, Recalled, Receipt, RetryTask, SubmitTasks
from helix_ray.core.questions import GetTask, NoticeTasks, WaitTasks
from helix_ray.plane.calls import Calls
from helix_ray.plane.history import CHANGING, RECALLS_MAX, ArchivedTasks

TASK = "task-1"


class Restored:
    """The calls of a plane whose history has let the task go: the master has it again."""

    def __init__(self, answer: dict[str, Any] | Rejected) -> None:
        self.answer = answer

    async def history(self, method: str, *arguments: Any) -> Any:
        assert method == "complete"
        return None if isinstance(arguments[-1], Rejected) else arguments[-1]

    async def master(self, method: str, *arguments: Any) -> Any:
        return self.answer


def test_a_task_that_was_restored_meanwhile_is_found() -> None:
    """Neither the master nor the history had it when they were asked; it was there all the time."""
    archived = ArchivedTasks(cast(Calls, Restored({"id": TASK, "status": "pending"})))
    found = asyncio.run(archived.completed(GetTask(TASK), SYSTEM, not_found("Task", TASK)))
    assert found == {"id": TASK, "status": "pending"}


def test_a_task_that_nobody_has_is_not_found() -> None:
    """Asked twice, the master says the same."""
    archived = ArchivedTasks(cast(Calls, Restored(not_found("Task", TASK))))
    found = asyncio.run(archived.completed(GetTask(TASK), SYSTEM, not_found("Task", TASK)))
    assert isinstance(found, Rejected)
    assert found.code is ErrorCode.NOT_FOUND


def test_whoever_waits_for_it_waits_on() -> None:
    """It is open, not unknown; what the history said of others stays."""
    archived = ArchivedTasks(cast(Calls, Restored({"done": [], "unknown": [], "open": 1})))
    reply = {"done": [{"id": "task-2"}], "unknown": [TASK], "open": 0}
    found = asyncio.run(archived.completed(WaitTasks((TASK, "task-2")), SYSTEM, reply))
    assert found == {"done": [{"id": "task-2"}], "unknown": [], "open": 1}


def test_its_notices_find_it() -> None:
    """What the history said of others stays; where the master does not answer, nothing was read."""
    reply = {"tasks": {"task-2": {"title": "b"}}, "unknown": [TASK]}
    for answer in ({"tasks": {TASK: {"title": "a"}}, "unknown": []}, not_found("Task", TASK)):
        archived = ArchivedTasks(cast(Calls, Restored(answer)))
        found = asyncio.run(archived.completed(NoticeTasks((TASK, "task-2")), SYSTEM, reply))
        if isinstance(answer, Rejected):
            assert found is answer
        else:
            assert found == {"tasks": {"task-2": {"title": "b"}, TASK: {"title": "a"}}, "unknown": []}


def test_an_order_is_given_again_until_it_lacks_nothing() -> None:
    """With what the history knows, in the detail that the order needs; one that lacks more
    at every turn is refused."""
    asked: list[tuple[tuple[str, ...], str]] = []

    class History:
        async def recall(self, task_ids: tuple[str, ...], causes: tuple[str, ...], detail: str) -> Recalled:
            asked.append((task_ids, detail))
            return Recalled(1, dict.fromkeys(task_ids), frozenset(causes))

    async def insatiable(given: Order) -> Receipt | Rejected:
        return lacking(f"task-{len(asked)}")

    archived = ArchivedTasks(cast(Calls, History()))
    order = Order(SubmitTasks(()), SYSTEM, "req-1", "seed")
    assert asyncio.run(archived.carried_out(order, insatiable)) == CHANGING
    assert asked == [((f"task-{turn}",), "line") for turn in range(RECALLS_MAX)]


def lacking(*task_ids: str) -> Rejected:
    return NotInMemory(ErrorCode.NOT_FOUND, "Task not found", {}, task_ids)


def test_an_order_finds_what_was_restored_meanwhile() -> None:
    """Memory had let the task go, and the history knows by now that it is back: the order is given again."""
    order = Order(RetryTask(TASK), SYSTEM, "req-1", "seed")

    class History:
        async def recall(self, task_ids: tuple[str, ...], causes: tuple[str, ...], detail: str) -> Recalled:
            return Recalled(1, dict.fromkeys(task_ids))

    async def execute(given: Order) -> Receipt | Rejected:
        return lacking(TASK) if given.recalled is None else Receipt(7, {})

    found = asyncio.run(ArchivedTasks(cast(Calls, History())).carried_out(order, execute))
    assert found == Receipt(7, {})
