"""The cluster: its status, its nodes, where a task goes and why, and what projects may hold."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter
from starlette.responses import Response

from helix_ray.core.errors import Refused, Rejected, conflict
from helix_ray.core.harmony.explanation import ended
from helix_ray.core.orders import DistributeTask, DrainWorker, Receipt, SetQuota
from helix_ray.core.questions import (
    ClusterStatus,
    ExplainTask,
    GetNode,
    ListNodes,
    ListQuotas,
    PlanTask,
)
from helix_ray.wire import harmony as shapes
from serve_app.answers import json_answer
from serve_app.bodies import Body, read
from serve_app.deps import Caller, SignedIn
from serve_app.openapi import verb

router = APIRouter(tags=["harmony"])

# A plan may be overtaken by what happens before it is carried out; then it is made anew.
PLANS_MAX = 5


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
    """Say why a task is where it is: node by node, in sum, what would place it now, and what it waited for before."""
    answer = await caller.services.control.query(ExplainTask(task_id), caller.by)
    if not isinstance(answer, Rejected):
        return json_answer(shapes.explain_out(answer))
    task = await caller.left_memory(task_id, answer)
    return json_answer({"id": task_id, "assigned_worker": task["assigned_worker"], **ended(task["status"])})


@router.post(
    "/harmony/distribute", **verb("DistributeTask", body=shapes.DistributeIn, answers=shapes.DistributeOut)
)
async def distribute_task(caller: SignedIn) -> Response:
    """Start a pending task now, its shards on several nodes; where nothing fits, say why and what would help."""
    sent = await read(caller.request)
    wanted = sent.validated(shapes.DISTRIBUTE, "distribution")
    question = PlanTask(
        wanted["task_id"],
        wanted.get("distribution_strategy"),
        tuple(wanted.get("required_capabilities") or ()),
        wanted.get("max_nodes"),
    )
    dry_run = bool(wanted.get("dry_run"))
    before = await _carried_out_before(question, caller, sent)
    if before is not None:
        return json_answer(_distributed(before.data), 200, before)
    for _ in range(PLANS_MAX):
        plan = await _plan(question, caller)
        if plan.get("already_running"):
            return json_answer(_running(plan, dry_run=dry_run))
        if not plan["pairs"]:
            return json_answer(shapes.refused_out(plan, dry_run=dry_run))
        if dry_run:
            return json_answer(_planned(plan))
        answer = await _carry_out(question, plan, caller, sent)
        if isinstance(answer, Receipt):
            return json_answer(_distributed(answer.data), 200, answer)
        if not answer.details.get("stale"):
            raise Refused(answer)
    raise Refused(conflict("The cluster changes faster than the task can be placed: try again", stale=True))


async def _carried_out_before(question: PlanTask, caller: Caller, sent: Body) -> Receipt | None:
    """Return the receipt that the request's key is kept with: whatever has become of the task since, and of its room."""
    if not caller.is_keyed:
        return None
    # Without pairs it starts nothing, and is refused unless the key is known.
    answer = await caller.services.control.execute(caller.order(DistributeTask(question.task_id, ()), sent))
    if isinstance(answer, Receipt):
        return answer
    if "header" in answer.details:
        raise Refused(answer)
    return None


async def _plan(question: PlanTask, caller: Caller) -> dict[str, Any]:
    """Return where the task would go; a task that has ended and left memory is a CONFLICT."""
    answer = await caller.services.control.query(question, caller.by)
    if not isinstance(answer, Rejected):
        return answer
    task = await caller.left_memory(question.task_id, answer)
    raise Refused(conflict(f"Task is {task['status']}", status=task["status"]))


async def _carry_out(
    question: PlanTask, plan: dict[str, Any], caller: Caller, sent: Body
) -> Receipt | Rejected:
    told = {
        **shapes.estimates_out(plan),
        "strategy": plan["strategy"],
        "shards_waiting": plan["shards_waiting"],
    }
    pairs = tuple((task_id, node_id) for task_id, node_id in plan["pairs"])
    body = DistributeTask(question.task_id, pairs, question.strategy, question.capabilities, told)
    return await caller.services.control.execute(caller.order(body, sent))


def _distributed(data: dict[str, Any]) -> dict[str, Any]:
    told = {name: value for name, value in data.items() if name not in ("id", "assigned_nodes")}
    return {
        "distributed": True,
        "already_running": False,
        "assigned_nodes": data["assigned_nodes"],
        **told,
        "dry_run": False,
        "fits": True,
    }


def _running(plan: dict[str, Any], *, dry_run: bool) -> dict[str, Any]:
    return {
        "distributed": True,
        "already_running": True,
        "assigned_nodes": plan["assigned_nodes"],
        **shapes.estimates_out(plan),
        "strategy": plan["strategy"],
        "shards_waiting": plan["shards_waiting"],
        "dry_run": dry_run,
        "fits": True,
    }


def _planned(plan: dict[str, Any]) -> dict[str, Any]:
    return {
        "distributed": False,
        "already_running": False,
        "assigned_nodes": list(dict.fromkeys(node_id for _, node_id in plan["pairs"])),
        **shapes.estimates_out(plan),
        "strategy": plan["strategy"],
        "shards_waiting": plan["shards_waiting"],
        "dry_run": True,
        "fits": True,
    }


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
