"""Quotas: the resources that a project may use at a time."""

from __future__ import annotations

from fastapi import APIRouter
from starlette.responses import Response

from helix_ray.core.orders import SetQuota
from helix_ray.core.questions import (
    ListQuotas,
)
from helix_ray.wire import quotas as shapes
from serve_app.answers import json_answer
from serve_app.bodies import read
from serve_app.deps import SignedIn
from serve_app.openapi import verb

router = APIRouter(tags=["harmony"])


@router.get("/harmony/quotas", **verb("ListQuotas", answers=shapes.QuotasOut))
async def list_quotas(caller: SignedIn) -> Response:
    """List quotas with their use; other projects' quotas only for callers who may see all tasks."""
    return json_answer(await caller.query(ListQuotas()))


@router.put(
    "/harmony/quotas/{project_id}", **verb("SetQuota", body=shapes.QuotaIn, answers=shapes.QuotaSetOut)
)
async def set_quota(project_id: str, caller: SignedIn) -> Response:
    """Set the quota and the share of a project; running tasks continue."""
    sent = await read(caller.request)
    quota = sent.validated(shapes.QUOTA, "quota")
    receipt = await caller.execute(
        SetQuota(project_id, quota.get("limits", {}), quota.get("weight", 1.0)), sent
    )
    return json_answer(receipt.data, 200, receipt)
