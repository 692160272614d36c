"""Starts a task now, or explains why it does not fit: a plan, then an order that carries it out.

The cluster may change between the two. The order contains what the plan was based on, so an outdated plan is
refused as `stale` and made again (ADR 17).
"""

from __future__ import annotations

from collections.abc import Callable

from helix_ray.core.access import Principal
from helix_ray.core.errors import Rejected, conflict
from helix_ray.core.orders import DistributeTask, Order, Receipt
from helix_ray.core.orders.placement import DistributedData
from helix_ray.core.questions import PlanTask
from helix_ray.core.views.placement import PlannedView
from helix_ray.ports import ControlPlane
from helix_ray.wire import placement as shapes

PLANS_MAX = 5

# Puts the order into its envelope with the caller and the key.
Envelope = Callable[[DistributeTask], Order[DistributedData]]
# The answer, and the receipt where something was carried out.
Distributed = tuple[shapes.DistributeOut, Receipt[DistributedData] | None]


async def distribute(
    plane: ControlPlane, by: Principal, wish: PlanTask, envelope: Envelope, *, dry_run: bool = False
) -> Distributed | Rejected:
    """Start a pending task, its shards on several nodes, and return the
    answer as wire.placement.DistributeOut has it.

    A task that does not fit, or runs already, is answered, not refused. With `dry_run` nothing is started.
    """
    before = await _carried_out_before(plane, wish, envelope)
    if before is not None:
        return (shapes.distributed_out(before.data), before) if isinstance(before, Receipt) else before
    for _ in range(PLANS_MAX):
        plan = await plane.query(wish, by)
        if isinstance(plan, Rejected):
            return plan
        if plan["kind"] == "runs":
            return shapes.running_out(plan, dry_run=dry_run), None
        if plan["kind"] == "no_place":
            return shapes.refused_out(plan, dry_run=dry_run), None
        if dry_run:
            return shapes.planned_out(plan), None
        answer = await plane.execute(envelope(_order(wish, plan)))
        if isinstance(answer, Receipt):
            return shapes.distributed_out(answer.data), answer
        if not answer.details.get("stale"):
            return answer
    return conflict("The cluster kept changing while the task was being placed. Try again", stale=True)


async def _carried_out_before(
    plane: ControlPlane, wish: PlanTask, envelope: Envelope
) -> Receipt[DistributedData] | Rejected | None:
    """Return the receipt of a caller's key, even if the task or the cluster has changed since.

    None without a key or for an unknown one; a Rejected when the key belongs to another request.
    """
    # Without pairs it starts nothing, and is refused unless the key is known.
    probe = envelope(DistributeTask(wish.task_id, ()))
    if probe.key is None:
        return None
    answer = await plane.execute(probe)
    if isinstance(answer, Receipt) or "header" in answer.details:
        return answer
    return None


def _order(wish: PlanTask, plan: PlannedView) -> DistributeTask:
    pairs = tuple((task_id, node_id) for task_id, node_id in plan["pairs"])
    return DistributeTask(wish.task_id, pairs, wish.strategy, wish.capabilities, shapes.plan_fields(plan))
