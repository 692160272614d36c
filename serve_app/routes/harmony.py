"""The cluster: its status, its nodes, where a task goes and why, and what projects may hold."""

from __future__ import annotations

from fastapi import APIRouter
from starlette.responses import Response

from helix_ray.core.errors import Refused, Rejected
from helix_ray.core.orders import DrainWorker, SetQuota
from helix_ray.core.questions import (
    ClusterStatus,
    ExplainTask,
    GetNode,
    ListNodes,
    ListQuotas,
    PlanTask,
)
from helix_ray.plane.distribution import distribute
from helix_ray.wire import harmony as shapes
from serve_app.answers import json_answer
from serve_app.bodies import read
from serve_app.deps import Caller, SignedIn
from serve_app.openapi import verb

router = APIRouter(tags=["harmony"])


@router.get("/harmony/cluster/status", **verb("ClusterStatus", answers=shapes.ClusterStatusOut))
async def get_cluster_status(caller: SignedIn) -> Response:
    """Give the master and all nodes with what they do now."""
    return json_answer(shapes.status_out(await caller.query(ClusterStatus())))


@router.get("/harmony/nodes", **verb("ListNodes", answers=shapes.NodesOut))
async def list_nodes(caller: SignedIn) -> Response:
    """Give all nodes: what each has, what is free, and who uses the rest."""
    answer = await caller.query(ListNodes())
    return json_answer({"nodes": [shapes.node_out(node) for node in answer["nodes"]]})


@router.get("/harmony/nodes/{node_id}", **verb("GetNode", answers=shapes.NodeOut))
async def get_node(node_id: str, caller: SignedIn) -> Response:
    """Give one node."""
    return json_answer(shapes.node_out(await caller.query(GetNode(node_id))))


@router.post("/harmony/nodes/{node_id}/drain", **verb("DrainWorker", answers=shapes.NodeOut))
async def drain_node(node_id: str, caller: SignedIn) -> Response:
    """Give a node no more tasks; what it runs, it finishes."""
    return await _drain(node_id, caller, draining=True)


@router.post("/harmony/nodes/{node_id}/undrain", **verb("DrainWorker", answers=shapes.NodeOut))
async def undrain_node(node_id: str, caller: SignedIn) -> Response:
    """Give a node tasks again."""
    return await _drain(node_id, caller, draining=False)


async def _drain(node_id: str, caller: Caller, *, draining: bool) -> Response:
    sent = await read(caller.request, optional=True)
    await caller.query(GetNode(node_id))
    receipt = await caller.execute(DrainWorker(node_id, draining), sent)
    return json_answer(shapes.node_out(await caller.query(GetNode(node_id))), 200, receipt)


@router.get("/tasks/{task_id}/explain", **verb("ExplainTask", answers=shapes.ExplainOut))
async def explain_task(task_id: str, caller: SignedIn) -> Response:
    """Say why a task is where it is: node by node, in sum, what would place it now, and
    what it waited for before."""
    return json_answer(shapes.explain_out(await caller.query(ExplainTask(task_id))))


@router.post(
    "/harmony/distribute", **verb("DistributeTask", body=shapes.DistributeIn, answers=shapes.DistributeOut)
)
async def distribute_task(caller: SignedIn) -> Response:
    """Start a pending task now, its shards on several nodes; where nothing fits, say
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


@router.get("/harmony/quotas", **verb("ListQuotas", answers=shapes.QuotasOut))
async def list_quotas(caller: SignedIn) -> Response:
    """Give what projects may hold and what they use; of others' projects only to those who see all tasks."""
    return json_answer(await caller.query(ListQuotas()))


@router.put(
    "/harmony/quotas/{project_id}", **verb("SetQuota", body=shapes.QuotaIn, answers=shapes.QuotaSetOut)
)
async def set_quota(project_id: str, caller: SignedIn) -> Response:
    """Bound what a project may hold at once, and weigh its share; what it holds already goes on."""
    sent = await read(caller.request)
    quota = sent.validated(shapes.QUOTA, "quota")
    receipt = await caller.execute(
        SetQuota(project_id, quota.get("limits", {}), quota.get("weight", 1.0)), sent
    )
    return json_answer(receipt.data, 200, receipt)
