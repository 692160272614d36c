"""For load balancers and supervisors: is the process alive, and can it serve?"""

from __future__ import annotations

from fastapi import APIRouter
from pydantic import BaseModel
from starlette.requests import Request
from starlette.responses import Response

from helix_ray.core.questions import Counts
from serve_app.answers import json_answer
from serve_app.deps import ask_within, services_of
from serve_app.openapi import public

READY_S_MAX = 1.0

router = APIRouter(tags=["health"])


class Health(BaseModel):
    """How the process is."""

    status: str


@router.get("/healthz", **public(answers=Health))
async def healthz() -> Response:
    """Say that the process answers."""
    return json_answer({"status": "ok"})


@router.get("/readyz", **public(answers=Health))
async def readyz(request: Request) -> Response:
    """Say that the control plane answers, within a second."""
    await ask_within(services_of(request).control, Counts(), READY_S_MAX)
    return json_answer({"status": "ready"})
