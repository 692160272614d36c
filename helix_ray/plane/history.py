"""Tasks that have left the master's memory: the history knows them, and no caller can tell the difference.

What memory does not know (NOT_FOUND, `retired`, `unknown`) is asked of the history before anybody concludes from it.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any

from helix_ray.core.access import SYSTEM, Principal
from helix_ray.core.answers import Answer
from helix_ray.core.answers.explanation import ended
from helix_ray.core.errors import ErrorCode, Rejected, conflict
from helix_ray.core.leases import ended_by_end
from helix_ray.core.orders import (
    CancelTask,
    DeleteTask,
    DistributeTask,
    NoteRefusals,
    Order,
    Receipt,
    RetryTask,
    SubmitTasks,
    UpdateTask,
)
from helix_ray.core.questions import (
    ExplainTask,
    GetResult,
    GetTask,
    ListTasks,
    PlanTask,
    Question,
    WaitTasks,
)
from helix_ray.core.refusals import refusal_of_order
from helix_ray.plane.calls import Calls
from helix_ray.plane.told import UNKNOWN, SourceUnavailable, as_answer, told

Execute = Callable[[Order], Awaitable[Receipt | Rejected]]

ABOUT_ONE_TASK = (GetTask, GetResult, ExplainTask, PlanTask)
CHANGES_ONE_TASK = (UpdateTask, CancelTask, RetryTask, DistributeTask)


class Retired:
    """Completes what the master says with what the history knows."""

    def __init__(self, calls: Calls) -> None:
        self._calls = calls

    async def completed(self, question: Question, by: Principal, reply: Answer) -> Answer:
        """Complete the master's answer to a question."""
        if isinstance(reply, Rejected):
            if reply.code is not ErrorCode.NOT_FOUND or not isinstance(question, ABOUT_ONE_TASK):
                return reply
            return await self._found(question, by, reply)
        if isinstance(question, ListTasks) and reply["retired"]:
            return as_answer(told(await self._calls.history("list", question, by, reply)))
        if isinstance(question, WaitTasks) and reply["unknown"]:
            older = told(await self._calls.history("wait", by, reply))
            if isinstance(older, SourceUnavailable):
                # What is known stays known; the rest is neither done nor unknown.
                return {**reply, "unknown": [], "unavailable": reply["unknown"], "why": older.rejected()}
            return as_answer(older)
        return reply

    async def _found(
        self, question: GetTask | GetResult | ExplainTask | PlanTask, by: Principal, refusal: Rejected
    ) -> Answer:
        if isinstance(question, GetResult):
            return await self._task(question, by, refusal)
        task = await self._task(GetTask(question.task_id), by, refusal)
        if isinstance(task, Rejected) or isinstance(question, GetTask):
            return task
        if isinstance(question, ExplainTask):
            return {
                "id": task["id"],
                "assigned_worker": task["assigned_worker"],
                **ended(task["status"]),
            }
        return _over(task)

    async def _task(self, question: GetTask | GetResult, by: Principal, refusal: Rejected) -> Answer:
        """Return what the history has of a task; `refusal` where it knows of none."""
        found = told(await self._calls.history("find", question, by))
        return refusal if found is UNKNOWN else as_answer(found)

    async def carried_out(
        self, order: Order, answer: Receipt | Rejected, execute: Execute
    ) -> Receipt | Rejected:
        """Carry an order out on a task that the master does not know, where the history does."""
        body = order.body
        if not isinstance(answer, Rejected) or answer.code is not ErrorCode.NOT_FOUND:
            return answer
        if not isinstance(body, (*CHANGES_ONE_TASK, DeleteTask)):
            return answer
        task = await self._task(GetTask(body.task_id), order.by, answer)
        if isinstance(task, Rejected):
            return task
        if isinstance(body, DeleteTask):
            # Only the history knows whose it was, and how many shards it had.
            shards = (task.get("shards") or {}).get("count", 0)
            whole = replace(body, retired_owner=task["owner"], retired_shards=shards)
            return await execute(replace(order, body=whole))
        refused = _over(task)
        noted = refusal_of_order(order, refused)
        if noted is not None:
            # The master keeps its own refusals; of this one it has not heard.
            seed = f"{order.seed}-refused"
            await execute(Order(NoteRefusals((noted,)), SYSTEM, order.request_id, seed))
        return refused


def dependencies(body: SubmitTasks) -> tuple[str, ...]:
    """Return the tasks of before that the tasks of a submit wait for."""
    return tuple({n for spec in body.specs for n in spec.get("depends_on") or () if not n.startswith("#")})


def settled_by(order: Order, body: SubmitTasks, reply: Answer) -> Order | Rejected:
    """Name the dependencies of a submit that have ended as completed, by what WaitTasks says of them."""
    if isinstance(reply, Rejected):
        # Who may not ask may not submit either: the order says so.
        return reply if reply.code is ErrorCode.SERVICE_UNAVAILABLE else order
    if reply.get("unavailable"):
        why: Rejected = reply["why"]
        return why
    done = frozenset(outcome["id"] for outcome in reply["done"] if outcome["status"] == "completed")
    return replace(order, body=replace(body, settled=done))


def _over(task: dict[str, Any]) -> Rejected:
    """Refuse to change a task that has ended; NOT_FOUND would deny that it was there."""
    status = task["status"]
    reason = ended_by_end(status, task["error"])
    return conflict(
        f"A {status} task cannot be changed",
        status=status,
        reason=reason,
        current_attempt=task["attempt"],
        assigned_worker=None,
    )
