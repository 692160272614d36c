"""What a task's attempt printed: as text while it is being written, or as JSON piece by piece."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Annotated, Any

from fastapi import APIRouter, Query
from starlette.responses import Response, StreamingResponse

from helix_ray.core.errors import Refused
from helix_ray.core.questions import ReadLog
from helix_ray.wire.task_answers import LogOut
from helix_ray.wire.tasks import LogQuery
from serve_app.answers import json_answer
from serve_app.deps import Caller, SignedIn
from serve_app.edge.errors import BrokenOff
from serve_app.openapi import verb

# One question waits this long for more output, then it is asked again.
WAIT_S = 10.0

router = APIRouter(prefix="/tasks", tags=["tasks"])

_DESCRIBED = verb("ReadLog", answers=LogOut)
_DESCRIBED["responses"][200]["content"] = {"text/plain": {"schema": {"type": "string"}}}


@router.get("/{task_id}/logs", **_DESCRIBED)
async def read_log(task_id: str, caller: SignedIn, query: Annotated[LogQuery, Query()]) -> Response:
    """Give the output of an attempt from `offset` on: `follow` goes on until the attempt has ended.

    With `Accept: application/json` the answer is one piece and where the next one begins;
    `follow` then waits for more.
    """
    question = ReadLog(task_id, query.attempt, query.offset)
    if _wants_json(caller):
        piece = await caller.query(question, WAIT_S if query.follow else 0.0)
        if query.follow:
            await caller.renew()
        return json_answer({"id": task_id, **piece})
    # The first piece decides between an answer and an error; after it only the connection can tell.
    piece = await caller.query(question)
    headers = {"X-Helix-Attempt": str(piece["attempt"])}
    return StreamingResponse(
        _pieces(caller, question, piece, follow=query.follow),
        media_type="text/plain; charset=utf-8",
        headers=headers,
    )


def _wants_json(caller: Caller) -> bool:
    accept = caller.request.headers.get("accept", "")
    return "application/json" in accept and "text/plain" not in accept


async def _pieces(
    caller: Caller, question: ReadLog, piece: dict[str, Any], *, follow: bool
) -> AsyncIterator[str]:
    """Give pieces until the end: of the attempt when following, of what there is now otherwise.

    Nobody is given what came after they lost the right to see it: that breaks the connection off.
    """
    while True:
        if piece["text"]:
            yield piece["text"]
        if piece["eof"] or not (follow or piece["text"]):
            return
        # The attempt is named from here on: a retry must not continue another attempt's text.
        question = ReadLog(question.task_id, piece["attempt"] or None, piece["next_offset"])
        piece = await caller.query(question, WAIT_S if follow else 0.0)
        try:
            await caller.renew()
        except Refused:
            raise BrokenOff from None
