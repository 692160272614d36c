"""Open sessions: where from and when last used; ending one or all, on every replica within a second."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query
from starlette.responses import Response

from helix_ray.core.orders import EndSessions
from helix_ray.core.questions import ListSessions
from helix_ray.wire import sessions as shapes
from serve_app.answers import json_answer, no_content
from serve_app.deps import SignedIn
from serve_app.openapi import verb

router = APIRouter(prefix="/auth/sessions", tags=["auth"])


@router.get("", **verb("ListSessions", answers=shapes.SessionsOut, may_miss=True))
async def list_sessions(caller: SignedIn, query: Annotated[shapes.SessionsQuery, Query()]) -> Response:
    """List one's own open sessions; administrators those of `user`."""
    answer = await caller.query(ListSessions(query.user))
    current = caller.by.session
    return json_answer({"sessions": [shapes.session_out(each, current) for each in answer["sessions"]]})


@router.delete("", **verb("EndSessions", answers=shapes.SessionsEndedOut, may_miss=True))
async def end_sessions(caller: SignedIn, query: Annotated[shapes.SessionsQuery, Query()]) -> Response:
    """End all one's own sessions, this one too; administrators those of `user`."""
    receipt = await caller.execute(EndSessions(username=query.user))
    caller.services.sessions.forget()
    return json_answer({"ended": receipt.data["ended"]}, 200, receipt)


@router.delete("/{session_id}", **verb("EndSessions", status=204))
async def end_session(session_id: str, caller: SignedIn) -> Response:
    """End one session: one's own, or any as an administrator."""
    receipt = await caller.execute(EndSessions(session_id))
    caller.services.sessions.forget()
    return no_content(receipt)
