"""Tasks that have left the master's memory: they are read from the history, and no caller sees a difference.

When the master does not have a task (NOT_FOUND, `retired`, `unknown`), the history is asked before the caller
gets an answer. An order about such a task is sent again with the history's record, and decided by the same
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
from helix_ray.core.orders import Order, Receipt
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
from helix_ray.plane.responses import UNKNOWN, SourceUnavailable, as_answer, response_of

Execute = Callable[[Order], Awaitable[Receipt | Rejected]]

ABOUT_ONE_TASK = (GetTask, GetResult, ExplainTask, PlanTask)
# Rounds for one order: recalled tasks may need further ones, or may have changed meanwhile.
RECALLS_MAX = 8
CHANGING = Rejected(
    ErrorCode.SERVICE_UNAVAILABLE, "The task is being changed by others: try again", {"retry_after_s": 1}
)


class Retired:
    """Completes the master's answers with the history."""

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
            return as_answer(response_of(await self._calls.history("list", question, by, reply)))
        if isinstance(question, WaitTasks) and reply["unknown"]:
            older = response_of(await self._calls.history("wait", by, reply))
            if isinstance(older, SourceUnavailable):
                # Known outcomes are returned; the other tasks are neither finished nor unknown.
                return {**reply, "unknown": [], "unavailable": reply["unknown"], "why": older.rejected()}
            return await self._with_restored(by, as_answer(older))
        return reply

    async def _asked_again(self, question: Question, by: Principal) -> Answer:
        """Ask the master again about tasks that neither knew: a task restored to memory between
        both answers was in neither."""
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
        """Return the history's answer about a task; `refusal` where it has none."""
        found = response_of(await self._calls.history("find", question, by))
        return refusal if found is UNKNOWN else as_answer(found)

    async def carried_out(self, order: Order, execute: Execute) -> Receipt | Rejected:
        """Carry an order out; where it needs tasks that have left memory, with what
        the history knows of them."""
        answer = await execute(order)
        for _ in range(RECALLS_MAX):
            if not isinstance(answer, NotInMemory):
                return answer
            found = await self._calls.recall(answer.task_ids, answer.causes, order.body.recalled_as)
            if isinstance(found, SourceUnavailable):
                return found.rejected()
            # Also where the history knows nothing of them: what was restored meanwhile is in memory.
            order = replace(order, recalled=found)
            answer = await execute(order)
        return CHANGING if isinstance(answer, NotInMemory) else answer
