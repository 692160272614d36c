"""What has changed in what a device follows, and how devices are doing."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query
from starlette.responses import Response

from helix_ray.core.errors import Refused, conflict, forbidden
from helix_ray.core.questions import PullChanges, SyncStatus
from helix_ray.wire import sync as shapes
from serve_app.answers import json_answer
from serve_app.deps import SignedIn
from serve_app.openapi import verb

router = APIRouter(prefix="/harmony/sync", tags=["harmony"])

OFF = conflict("Devices are not synced here: HELIX_SYNC_ENABLED is off")
NO_DEVICE = forbidden("Only a device can do this: use the credential that it got when it was enrolled")


@router.get("/changes", **verb("PullChanges", answers=shapes.ChangesOut))
async def pull_changes(caller: SignedIn, query: Annotated[shapes.ChangesQuery, Query()]) -> Response:
    """Return what has changed since a cursor; without one everything that there is, in pages.

    With `wait_s` an answer without changes comes only after that time. GONE with `reset`: drop the
    cursor and ask again without one.
    """
    if not caller.services.settings.sync_enabled:
        raise Refused(OFF)
    # The credential of a device has the device's id.
    if caller.by.token is None:
        raise Refused(NO_DEVICE)
    question = PullChanges(caller.by.token, query.cursor, query.limit)
    view = await caller.query(question, query.wait_s)
    if query.wait_s:
        # Whatever was revoked while it waited is not shown.
        await caller.renew()
    return json_answer(shapes.changes_out(view))


@router.get("/status", **verb("SyncStatus", answers=shapes.SyncStatusOut))
async def sync_status(caller: SignedIn) -> Response:
    """Return how the caller's devices are doing; for administrators all devices."""
    settings = caller.services.settings
    view = await caller.query(SyncStatus())
    return json_answer(shapes.status_out(view, settings.sync_enabled, settings.sync_interval_s))
