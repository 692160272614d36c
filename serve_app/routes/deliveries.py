"""What became of the messages of a webhook."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Path, Query
from starlette.responses import Response

from helix_ray.core.deliveries import GetDelivery, ListDeliveries
from helix_ray.wire import deliveries as shapes
from serve_app.answers import json_answer
from serve_app.deps import SignedIn
from serve_app.openapi import verb

router = APIRouter(prefix="/webhooks/{webhook_id}/deliveries", tags=["webhooks"])


@router.get("", **verb("ListDeliveries", answers=shapes.DeliveriesOut))
async def list_deliveries(
    webhook_id: str, caller: SignedIn, query: Annotated[shapes.DeliveriesQuery, Query()]
) -> Response:
    """List what became of a webhook's messages, newest first, and where the webhook stands."""
    question = ListDeliveries(webhook_id, query.status, query.before, query.limit)
    return json_answer(shapes.deliveries_out(await caller.query(question)))


@router.get("/{seq}", **verb("GetDelivery", answers=shapes.DeliveryOut))
async def get_delivery(
    webhook_id: str, seq: Annotated[int, Path(ge=0, le=shapes.SEQ_MAX)], caller: SignedIn
) -> Response:
    """Return one delivery with its request and all tries; secrets are masked."""
    return json_answer(shapes.delivery_out(await caller.query(GetDelivery(webhook_id, seq))))
