"""Tasks that have left the master's memory: the history knows them, and no caller can tell the difference.

What memory does not know (NOT_FOUND, `retired`, `unknown`) is asked of the history before anybody concludes
from it. An order about such a task is given again with the history's record of it, and decided by the same
code as any other (helix_ray/core/decide).
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import replace

from helix_ray.core.access import Principal
from helix_ray.core.answers import Answer
from helix_ray.core.answers.distribution import refused_by_status
from helix_ray.core.answers.explanation import ended_view
from helix_ray.core.errors import ErrorCode, NotInMemory, Rejected
from helix_ray.core.orders import (
    CancelTask,
    DeleteTask,
    DistributeTask,
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
from helix_ray.plane.calls import Calls
from helix_ray.plane.told import UNKNOWN, SourceUnavailable, as_answer, told

Execute = Callable[[Order], Awaitable[Receipt | Rejected]]

ABOUT_ONE_TASK = (GetTask, GetResult, ExplainTask, PlanTask)
CHANGES_ONE_TASK = (UpdateTask, CancelTask, RetryTask, DeleteTask, DistributeTask)
# Rounds of one order: what is recalled may show what else is needed, or may have changed meanwhile.
RECALLS_MAX = 8
CHANGING = Rejected(
    ErrorCode.SERVICE_UNAVAILABLE, "The task is being changed by others: try again", {"retry_after_s": 1}
)


class Retired:
    """Completes what the master says with what the history knows."""

    def __init__(self, calls: Calls) -> None:
        self._calls = calls

    async def completed(self, question: Question, by: Principal, reply: Answer) -> Answer:
        """Complete the master's answer to a question."""
        if isinstance(reply, Rejected):
            if reply.code is not ErrorCode.NOT_FOUND or not isinstance(question, ABOUT_ONE_TASK):
                return reply
            found = await self._found(question, by, reply)
            return found if found is not reply else await self._asked_again(question, by)
        if isinstance(question, ListTasks) and question.seqs is None and reply["retired"]:
            return as_answer(told(await self._calls.history("list", question, by, reply)))
        if isinstance(question, WaitTasks) and reply["unknown"]:
            older = told(await self._calls.history("wait", by, reply))
            if isinstance(older, SourceUnavailable):
                # What is known stays known; the rest is neither done nor unknown.
                return {**reply, "unknown": [], "unavailable": reply["unknown"], "why": older.rejected()}
            return await self._with_restored(by, as_answer(older))
        return reply

    async def _asked_again(self, question: Question, by: Principal) -> Answer:
        """Ask the master about what neither it nor the history knew: a task that was restored between their
        answers was in neither, and is in memory."""
        answer: Answer = await self._calls.master("query", question, by, 0.0)
        return answer

    async def _with_restored(self, by: Principal, reply: Answer) -> Answer:
        if isinstance(reply, Rejected) or not reply["unknown"]:
            return reply
        again = await self._asked_again(WaitTasks(tuple(reply["unknown"])), by)
        if isinstance(again, Rejected):
            return again
        opened = reply["open"] + again["open"]
        return {**again, "done": [*reply["done"], *again["done"]], "open": opened}

    async def _found(
        self, question: GetTask | GetResult | ExplainTask | PlanTask, by: Principal, refusal: Rejected
    ) -> Answer:
        if isinstance(question, GetResult):
            return await self._task(question, by, refusal)
        task = await self._task(GetTask(question.task_id), by, refusal)
        if isinstance(task, Rejected) or isinstance(question, GetTask):
            return task
        if isinstance(question, ExplainTask):
            return ended_view(task)
        return refused_by_status(question, task)

    async def _task(self, question: GetTask | GetResult, by: Principal, refusal: Rejected) -> Answer:
        """Return what the history has of a task; `refusal` where it knows of none."""
        found = told(await self._calls.history("find", question, by))
        return refusal if found is UNKNOWN else as_answer(found)

    async def carried_out(self, order: Order, execute: Execute) -> Receipt | Rejected:
        """Carry an order out; where it needs tasks that have left memory, with what
        the history knows of them."""
        answer = await execute(order)
        for _ in range(RECALLS_MAX):
            needed = _needed(order, answer)
            if needed is None:
                return answer
            found = await self._calls.recall(*needed, isinstance(order.body, RetryTask))
            if isinstance(found, SourceUnavailable):
                return found.rejected()
            # Also where the history knows nothing of them: what was restored meanwhile is in memory.
            order = replace(order, recalled=found)
            answer = await execute(order)
        return CHANGING if _needed(order, answer) is not None else answer


def _needed(order: Order, answer: Receipt | Rejected) -> tuple[tuple[str, ...], tuple[str, ...]] | None:
    """Return the tasks that an order was refused for the lack of, and those whose dependants it lacks."""
    if isinstance(answer, NotInMemory):
        return answer.task_ids, answer.causes
    body = order.body
    if not isinstance(answer, Rejected) or answer.code is not ErrorCode.NOT_FOUND:
        return None
    if not isinstance(body, CHANGES_ONE_TASK):
        return None
    recalled = order.recalled
    if recalled is None:
        return (body.task_id,), ()
    # It was in memory at first, and left while the history was asked about others.
    left = body.task_id not in recalled.tasks
    return ((body.task_id, *recalled.tasks), tuple(recalled.causes)) if left else None


def dependencies(body: SubmitTasks) -> tuple[str, ...]:
    """Return the tasks of before that the tasks of a submit wait for."""
    return tuple({n for spec in body.specs for n in spec.get("depends_on") or () if not n.startswith("#")})


def settled_by(order: Order, body: SubmitTasks, reply: Answer) -> Order | Rejected:
    """Say how the dependencies of a submit have ended, by what WaitTasks says of them."""
    if isinstance(reply, Rejected):
        # Who may not ask may not submit either: the order says so.
        return reply if reply.code is ErrorCode.SERVICE_UNAVAILABLE else order
    if reply.get("unavailable"):
        why: Rejected = reply["why"]
        return why
    ended = {outcome["id"]: outcome["status"] for outcome in reply["done"]}
    return replace(order, body=replace(body, settled=ended))
