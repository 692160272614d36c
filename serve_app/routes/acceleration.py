"""Accelerators: of the cluster, and of one node with their histories."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query
from starlette.responses import Response

from helix_ray.core.questions import Acceleration, NodeDevices
from helix_ray.wire import acceleration as shapes
from serve_app.answers import json_answer
from serve_app.deps import SignedIn
from serve_app.openapi import verb

router = APIRouter(tags=["harmony"])


@router.get("/harmony/ai/acceleration", **verb("Acceleration", answers=shapes.AccelerationOut, may_miss=True))
async def get_acceleration(caller: SignedIn, query: Annotated[shapes.AccelerationQuery, Query()]) -> Response:
    """Return the accelerators of the cluster, or of one node, and what models run with."""
    return json_answer(await caller.query(Acceleration(query.node)))


@router.get("/harmony/nodes/{node_id}/devices", **verb("NodeDevices", answers=shapes.NodeDevicesOut))
async def get_node_devices(
    node_id: str, caller: SignedIn, query: Annotated[shapes.DevicesQuery, Query()]
) -> Response:
    """Return the devices of a node, with how busy each was in the last hour."""
    return json_answer(shapes.node_devices_out(await caller.query(NodeDevices(node_id, query.points))))
