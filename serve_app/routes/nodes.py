"""The cluster: its status and its nodes."""

from __future__ import annotations

from fastapi import APIRouter
from starlette.responses import Response

from helix_ray.core.orders import DrainWorker
from helix_ray.core.questions import (
    ClusterStatus,
    GetNode,
    ListNodes,
)
from helix_ray.wire import nodes as shapes
from serve_app.answers import json_answer
from serve_app.bodies import read
from serve_app.deps import Caller, SignedIn
from serve_app.openapi import verb

router = APIRouter(tags=["harmony"])


@router.get("/harmony/cluster/status", **verb("ClusterStatus", answers=shapes.ClusterStatusOut))
async def get_cluster_status(caller: SignedIn) -> Response:
    """Return the status of the master and of all nodes."""
    return json_answer(shapes.status_out(await caller.query(ClusterStatus())))


@router.get("/harmony/nodes", **verb("ListNodes", answers=shapes.NodesOut))
async def list_nodes(caller: SignedIn) -> Response:
    """List all nodes: the resources of each, what is free, and what uses the rest."""
    answer = await caller.query(ListNodes())
    return json_answer({"nodes": [shapes.node_out(node) for node in answer["nodes"]]})


@router.get("/harmony/nodes/{node_id}", **verb("GetNode", answers=shapes.NodeOut))
async def get_node(node_id: str, caller: SignedIn) -> Response:
    """Return one node."""
    return json_answer(shapes.node_out(await caller.query(GetNode(node_id))))


@router.post("/harmony/nodes/{node_id}/drain", **verb("DrainWorker", answers=shapes.NodeOut))
async def drain_node(node_id: str, caller: SignedIn) -> Response:
    """Drain a node: it gets no more tasks, and its running tasks finish."""
    return await _drain(node_id, caller, draining=True)


@router.post("/harmony/nodes/{node_id}/undrain", **verb("DrainWorker", answers=shapes.NodeOut))
async def undrain_node(node_id: str, caller: SignedIn) -> Response:
    """Undrain a node: it gets tasks again."""
    return await _drain(node_id, caller, draining=False)


async def _drain(node_id: str, caller: Caller, *, draining: bool) -> Response:
    sent = await read(caller.request, optional=True)
    await caller.query(GetNode(node_id))
    receipt = await caller.execute(DrainWorker(node_id, draining), sent)
    return json_answer(shapes.node_out(await caller.query(GetNode(node_id))), 200, receipt)
