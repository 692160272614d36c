"""Tasks that have left the master's memory: they are read from the history, and no caller sees a difference.

When the master does not have a task (NOT_FOUND, `retired`, `unknown`), the history is asked before the caller
gets an answer. An order about such a task is sent again with the history's record, and decided by the same
code as any other (helix_ray/core/decide).
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any, cast

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
    QuestionKind,
    View,
    WaitTasks,
)
from helix_ray.core.views.tasks import EndedView, TaskPageView
from helix_ray.plane.calls import Calls
from helix_ray.plane.responses import Response, SourceUnavailable, Unknown, as_answer, response_of

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

    async def completed(
        self, question: QuestionKind[View], by: Principal, reply: View | Rejected
    ) -> View | Rejected:
        """Complete the master's answer to a question."""
        return cast("View | Rejected", await self._completed(question, by, reply))

    async def _completed(self, question: QuestionKind[Any], by: Principal, reply: Any) -> Answer:
        if isinstance(reply, Rejected):
            if reply.code is not ErrorCode.NOT_FOUND or not isinstance(question, ABOUT_ONE_TASK):
                return reply
            found = await self._found(question, by, reply)
            return found if found is not reply else await self._asked_again(question, by)
        if isinstance(question, ListTasks) and question.seqs is None:
            return await self._with_older(question, by, reply)
        if isinstance(question, WaitTasks):
            return await self._with_ended(by, reply)
        return cast("Answer", reply)

    async def _with_older(
        self, question: ListTasks, by: Principal, reply: TaskPageView
    ) -> TaskPageView | Rejected:
        if not reply["retired"]:
            return reply
        page: Response[TaskPageView] = response_of(await self._calls.history("list", question, by, reply))
        return as_answer(page)

    async def _with_ended(self, by: Principal, reply: EndedView) -> EndedView | Rejected:
        if not reply["unknown"]:
            return reply
        older: Response[EndedView] = response_of(await self._calls.history("wait", by, reply))
        if isinstance(older, SourceUnavailable):
            # Known outcomes are returned; the other tasks are neither finished nor unknown.
            return {**reply, "unknown": [], "unavailable": reply["unknown"], "why": older.rejected()}
        return await self._with_restored(by, as_answer(older))

    async def _asked_again(self, question: QuestionKind[View], by: Principal) -> View | Rejected:
        """Ask the master again about tasks that neither knew: a task restored to memory between
        both answers was in neither."""
        answer: View | Rejected = await self._calls.master("query", question, by, 0.0)
        return answer

    async def _with_restored(self, by: Principal, reply: EndedView | Rejected) -> EndedView | Rejected:
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
            return await self._ended(question, by, refusal)
        task = await self._ended(GetTask(question.task_id), by, refusal)
        if isinstance(task, Rejected) or isinstance(question, GetTask):
            return task
        if isinstance(question, ExplainTask):
            return ended_view(task)
        return refused_by_status(question, task)

    async def _ended(self, question: QuestionKind[View], by: Principal, refusal: Rejected) -> View | Rejected:
        """Return the history's answer about a task; `refusal` where it has none."""
        found: Response[View] = response_of(await self._calls.history("find", question, by))
        return refusal if isinstance(found, Unknown) else as_answer(found)

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
