"""Proofs about the journal: the master says who may ask and its size, and the historian proves."""

from __future__ import annotations

from typing import Any, cast

from helix_ray.core.access import Principal
from helix_ray.core.answers import Answer
from helix_ray.core.errors import Rejected
from helix_ray.core.proof_questions import JournalSize, within
from helix_ray.core.question_kind import QuestionKind
from helix_ray.plane.calls import Calls
from helix_ray.plane.nodes import Asks
from helix_ray.plane.responses import Response, as_answer, response_of


async def proof_of(ask: Asks, calls: Calls, question: QuestionKind[Any], by: Principal) -> Answer:
    """Answer a question about the journal's tree, whatever the sizes in it."""
    journal = await ask(JournalSize(), by)
    if isinstance(journal, Rejected):
        return journal
    complete = within(cast("Any", question), journal["size"])
    if isinstance(complete, Rejected):
        return complete
    found: Response[Any] = response_of(await calls.history("prove", complete))
    return cast("Answer", as_answer(found))
