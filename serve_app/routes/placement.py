"""Explains the placement of a task, and places one on request."""

from __future__ import annotations

from fastapi import APIRouter
from starlette.responses import Response

from helix_ray.core.errors import Refused, Rejected
from helix_ray.core.questions import (
    ExplainTask,
    PlanTask,
)
from helix_ray.plane.distribution import distribute
from helix_ray.wire import placement as shapes
from serve_app.answers import json_answer
from serve_app.bodies import read
from serve_app.deps import SignedIn
from serve_app.openapi import verb

router = APIRouter(tags=["harmony"])


@router.get("/tasks/{task_id}/explain", **verb("ExplainTask", answers=shapes.ExplainOut))
async def explain_task(task_id: str, caller: SignedIn) -> Response:
    """Explain the placement of a task: for each node and in sum, what would place it now,
    and what it has waited for."""
    return json_answer(shapes.explain_out(await caller.query(ExplainTask(task_id))))


@router.post(
    "/harmony/distribute", **verb("DistributeTask", body=shapes.DistributeIn, answers=shapes.DistributeOut)
)
async def distribute_task(caller: SignedIn) -> Response:
    """Start a pending task now, its shards on several nodes; where nothing fits, the answer says
    why and what would help."""
    sent = await read(caller.request)
    wanted = sent.validated(shapes.DISTRIBUTE, "distribution")
    wish = PlanTask(
        wanted["task_id"],
        wanted.get("distribution_strategy"),
        tuple(wanted.get("required_capabilities") or ()),
        wanted.get("max_nodes"),
    )
    answer = await distribute(
        caller.services.control,
        caller.by,
        wish,
        lambda body: caller.order(body, sent),
        dry_run=bool(wanted.get("dry_run")),
    )
    if isinstance(answer, Rejected):
        raise Refused(answer)
    shown, receipt = answer
    return json_answer(shown, 200, receipt)
