"""Tasks that have left the master's memory: they are read from the history, and no caller sees a difference.

When the master does not have a task (NOT_FOUND, `archived`, `unknown`), the history is asked before the
caller gets an answer. An order about such a task is sent again with the history's record, and decided by the
same code as any other (helix_ray/core/decide).
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any, cast

from helix_ray.core.access import Principal
from helix_ray.core.answers import Answer
from helix_ray.core.answers.archived import COMPLETIONS, Completion
from helix_ray.core.errors import ErrorCode, NotInMemory, Rejected
from helix_ray.core.orders import AnyOrder, AnyReceipt
from helix_ray.core.questions import QuestionKind, View
from helix_ray.plane.calls import Calls
from helix_ray.plane.responses import Response, SourceUnavailable, Unknown, response_of

Execute = Callable[[AnyOrder], Awaitable[AnyReceipt | Rejected]]

# Rounds for one order: recalled tasks may need further ones, or may have changed meanwhile.
RECALLS_MAX = 8
CHANGING = Rejected(
    ErrorCode.SERVICE_UNAVAILABLE, "The task is being changed by others: try again", {"retry_after_s": 1}
)


class ArchivedTasks:
    """Completes the master's answers with the history."""

    def __init__(self, calls: Calls) -> None:
        self._calls = calls

    async def completed(
        self, question: QuestionKind[View], by: Principal, reply: View | Rejected
    ) -> View | Rejected:
        """Complete the master's answer to a question."""
        completion = COMPLETIONS.get(type(question))
        if completion is None or not completion.lacks(question, reply):
            return reply
        return cast("View | Rejected", await self._completed(completion, question, by, reply))

    async def _completed(
        self, completion: Completion, question: QuestionKind[Any], by: Principal, reply: Answer
    ) -> Answer:
        found: Response[Any] = response_of(
            await self._calls.history("complete", completion.asked(question), by, reply)
        )
        if isinstance(found, SourceUnavailable):
            return completion.unavailable(reply, found.rejected())
        if not isinstance(found, Unknown):
            reply = completion.answered(question, found)
        rest = completion.rest(question, reply)
        if rest is None:
            return reply
        return completion.joined(reply, await self._calls.master("query", rest, by, 0.0))

    async def carried_out(self, order: AnyOrder, execute: Execute) -> AnyReceipt | Rejected:
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
