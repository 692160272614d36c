"""A task that comes back into memory between the master's answer and the history's."""

from __future__ import annotations

import asyncio
from typing import Any, cast

from helix_ray.core.access import SYSTEM
from helix_ray.core.errors import ErrorCode, Rejected, not_found
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
