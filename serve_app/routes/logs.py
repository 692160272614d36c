"""The output of a task's attempt: as streamed text, or as JSON in pieces."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Annotated

from fastapi import APIRouter, Query
from starlette.responses import Response, StreamingResponse

from helix_ray.core.errors import Refused
from helix_ray.core.questions import ReadLog
from helix_ray.core.views.tasks import LogView
from helix_ray.wire.task_answers import LogOut
from helix_ray.wire.tasks import LogQuery
from serve_app.answers import json_answer
from serve_app.deps import Caller, SignedIn
from serve_app.edge.errors import BrokenOff
from serve_app.openapi import verb

# How long a single question waits for more output before it is repeated.
WAIT_S = 10.0

router = APIRouter(prefix="/tasks", tags=["tasks"])

_DESCRIBED = verb("ReadLog", answers=LogOut)
_DESCRIBED["responses"][200]["content"] = {"text/plain": {"schema": {"type": "string"}}}


@router.get("/{task_id}/logs", **_DESCRIBED)
async def read_log(task_id: str, caller: SignedIn, query: Annotated[LogQuery, Query()]) -> Response:
    """Return the output of an attempt from `offset` on; `follow` continues until the attempt has ended.

    With `Accept: application/json` the answer is one piece and the offset of the next; `follow`
    then waits for more output.
    """
    question = ReadLog(task_id, query.attempt, query.offset)
    if _wants_json(caller):
        piece = await caller.query(question, WAIT_S if query.follow else 0.0)
        if query.follow:
            await caller.renew()
        return json_answer({"id": task_id, **piece})
    # The first piece decides the status; after it an error can only break the connection.
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


async def _pieces(caller: Caller, question: ReadLog, piece: LogView, *, follow: bool) -> AsyncIterator[str]:
    """Yield pieces until the attempt ends when following, otherwise until the end of the current output.

    A user who loses the right to see the task gets no further output: the connection is broken off.
    """
    while True:
        if piece["text"]:
            yield piece["text"]
        if piece["eof"] or not (follow or piece["text"]):
            return
        # From here on the attempt is named: the output of a retry must not follow in the same answer.
        question = ReadLog(question.task_id, piece["attempt"] or None, piece["next_offset"])
        piece = await caller.query(question, WAIT_S if follow else 0.0)
        try:
            await caller.renew()
        except Refused:
            raise BrokenOff from None
