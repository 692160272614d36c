"""Erasing what concerns somebody, or a task, from the journal: for administrators."""

from __future__ import annotations

from fastapi import APIRouter
from starlette.responses import Response

from helix_ray.core.orders import RequestErasure
from helix_ray.core.questions import GetErasure, ListErasures
from helix_ray.wire import erasures as shapes
from serve_app.answers import json_answer
from serve_app.bodies import read
from serve_app.deps import SignedIn
from serve_app.openapi import verb

router = APIRouter(prefix="/aurora/erasures", tags=["aurora"])


@router.post("", **verb("RequestErasure", body=shapes.ErasureIn, answers=shapes.ErasureOut, status=202))
async def request_erasure(caller: SignedIn) -> Response:
    """Erase the contents of all facts that concern these tasks and users. It cannot be undone."""
    sent = await read(caller.request)
    wanted = sent.validated(shapes.ERASURE, "erasure")
    body = RequestErasure(tuple(wanted.get("tasks", ())), tuple(wanted.get("users", ())), wanted["reason"])
    receipt = await caller.execute(body, sent)
    view = await caller.query(GetErasure(receipt.data["id"]))
    return json_answer(shapes.erasure_out(view), 202, receipt)


@router.get("", **verb("ListErasures", answers=shapes.ErasuresOut))
async def list_erasures(caller: SignedIn) -> Response:
    """Give erasures with how far they are, the newest first."""
    answer = await caller.query(ListErasures())
    return json_answer({"erasures": [shapes.erasure_out(view) for view in answer["erasures"]]})


@router.get("/{erasure_id}", **verb("GetErasure", answers=shapes.ErasureOut))
async def get_erasure(erasure_id: str, caller: SignedIn) -> Response:
    """Give one erasure; it is `completed` when nothing of it is left in the journal."""
    return json_answer(shapes.erasure_out(await caller.query(GetErasure(erasure_id))))
