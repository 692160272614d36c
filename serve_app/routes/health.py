"""Health checks for load balancers and supervisors."""

from __future__ import annotations

from fastapi import APIRouter
from pydantic import BaseModel
from starlette.requests import Request
from starlette.responses import Response

from helix_ray.core.errors import ErrorCode, Refused, Rejected
from helix_ray.core.questions import Readiness
from serve_app.answers import json_answer
from serve_app.deps import ask_within, services_of
from serve_app.openapi import public

READY_S_MAX = 1.0

router = APIRouter(tags=["health"])


class Health(BaseModel):
    """The status of the process."""

    status: str


# Monitors often ask with HEAD, and need no more than the status.
@router.head("/healthz", include_in_schema=False)
@router.get("/healthz", **public(answers=Health))
async def healthz() -> Response:
    """Report that the process is alive."""
    return json_answer({"status": "ok"})


@router.head("/readyz", include_in_schema=False)
@router.get("/readyz", **public(answers=Health))
async def readyz(request: Request) -> Response:
    """Report that requests can be served; else 503 within a second, with a reason for
    each part that is not ready."""
    answer = await ask_within(services_of(request).control, Readiness(), READY_S_MAX)
    if answer["missing"]:
        details = {"retry_after_s": 1, "missing": answer["missing"]}
        raise Refused(Rejected(ErrorCode.SERVICE_UNAVAILABLE, "Not ready", details))
    return json_answer({"status": "ready"})
