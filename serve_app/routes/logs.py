"""The output of a task's attempt: as streamed text, as the bytes that were written, or as JSON in pieces."""

from __future__ import annotations

import dataclasses
from collections.abc import AsyncIterator
from typing import Annotated

from fastapi import APIRouter, Query
from starlette.responses import Response, StreamingResponse

from helix_ray.core.errors import Refused
from helix_ray.core.questions import ReadLog
from helix_ray.core.views.log_text import as_bytes, shown
from helix_ray.core.views.tasks import LogView
from helix_ray.wire.task_answers import LogOut
from helix_ray.wire.tasks import LogQuery
from serve_app.answers import json_answer
from serve_app.deps import Caller, SignedIn
from serve_app.edge.errors import BrokenOff
from serve_app.openapi import verb

# How long a single question waits for more output before it is repeated.
WAIT_S = 10.0
BYTES = "application/octet-stream"

router = APIRouter(prefix="/tasks", tags=["tasks"])

_DESCRIBED = verb("ReadLog", answers=LogOut)
_DESCRIBED["responses"][200]["content"] = {
    "text/plain": {"schema": {"type": "string"}},
    BYTES: {"schema": {"type": "string", "format": "binary"}},
}


@router.get("/{task_id}/logs", **_DESCRIBED)
async def read_log(task_id: str, caller: SignedIn, query: Annotated[LogQuery, Query()]) -> Response:
    """Return the output of an attempt from `offset` on; `follow` continues until the attempt has ended.

    As text, a line says where output was removed; `Accept: application/octet-stream` returns the bytes that
    were kept and nothing else. With `Accept: application/json` the answer is one piece and the offset of the
    next; `follow` then waits for more output. `X-Helix-Log-Cut-Bytes` is how much was removed by now.
    """
    raw = _wants(caller, BYTES)
    question = ReadLog(task_id, query.attempt, query.offset, raw=raw)
    if _wants(caller, "application/json"):
        piece = await caller.query(question, WAIT_S if query.follow else 0.0)
        if query.follow:
            await caller.renew()
        return json_answer({"id": task_id, **piece})
    # The first piece decides the status; after it an error can only break the connection.
    piece = await caller.query(question)
    return StreamingResponse(
        _pieces(caller, question, piece, follow=query.follow),
        media_type=BYTES if raw else "text/plain; charset=utf-8",
        headers=_headers(piece),
    )


def _wants(caller: Caller, kind: str) -> bool:
    """Say whether a kind of answer is asked for; text is the usual one."""
    accept = caller.request.headers.get("accept", "")
    return kind in accept and "text/plain" not in accept


def _headers(piece: LogView) -> dict[str, str]:
    return {"X-Helix-Attempt": str(piece["attempt"]), "X-Helix-Log-Cut-Bytes": str(piece["cut_bytes"])}


async def _pieces(caller: Caller, question: ReadLog, piece: LogView, *, follow: bool) -> AsyncIterator[bytes]:
    """Yield pieces until the attempt ends when following, otherwise until the end of the current output.

    A user who loses the right to see the task gets no further output: the connection is broken off.
    """
    while True:
        if sent := as_bytes(piece) if question.raw else shown(piece, question.offset).encode():
            yield sent
        if piece["eof"] or not (follow or piece["text"]):
            return
        # From here on the attempt is named: the output of a retry must not follow in the same answer.
        question = dataclasses.replace(
            question, attempt=piece["attempt"] or None, offset=piece["next_offset"]
        )
        piece = await caller.query(question, WAIT_S if follow else 0.0)
        try:
            await caller.renew()
        except Refused:
            raise BrokenOff from None
