"""How synced devices are doing."""

from __future__ import annotations

from fastapi import APIRouter
from starlette.responses import Response

from helix_ray.core.questions import SyncStatus
from helix_ray.wire import sync as shapes
from serve_app.answers import json_answer
from serve_app.deps import SignedIn
from serve_app.openapi import verb

router = APIRouter(prefix="/harmony/sync", tags=["harmony"])


@router.get("/status", **verb("SyncStatus", answers=shapes.SyncStatusOut))
async def sync_status(caller: SignedIn) -> Response:
    """Return how the caller's devices are doing; for administrators all devices."""
    settings = caller.services.settings
    view = await caller.query(SyncStatus())
    return json_answer(shapes.status_out(view, settings.sync_enabled, settings.sync_interval_s))
