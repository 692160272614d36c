"""Start a task now, or say why it has no room: a plan, then an order that carries it out.

Between the two the cluster may change. The order says what it was planned with, so one that no longer fits is
refused as `stale`, and the plan is made anew (ADR 17).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from helix_ray.core.access import Principal
from helix_ray.core.errors import Rejected, conflict
from helix_ray.core.orders import DistributeTask, Order, Receipt
from helix_ray.core.questions import PlanTask
from helix_ray.ports import ControlPlane
from helix_ray.wire import placement as shapes

PLANS_MAX = 5

# Puts the order into its envelope: who asks, and with which key.
Envelope = Callable[[DistributeTask], Order]
# What is answered, and the receipt where something was carried out.
Distributed = tuple[dict[str, Any], Receipt | None]


async def distribute(
    plane: ControlPlane, by: Principal, wish: PlanTask, envelope: Envelope, *, dry_run: bool = False
) -> Distributed | Rejected:
    """Start a pending task, its shards on several nodes, and return the
    answer as wire.placement.DistributeOut has it.

    A task that has no room, or runs already, is answered and not refused. With `dry_run` nothing is started.
    """
    before = await _carried_out_before(plane, wish, envelope)
    if before is not None:
        return (shapes.distributed_out(before.data), before) if isinstance(before, Receipt) else before
    for _ in range(PLANS_MAX):
        plan = await plane.query(wish, by)
        if isinstance(plan, Rejected):
            return plan
        if plan.get("already_running"):
            return shapes.running_out(plan, dry_run=dry_run), None
        if not plan["pairs"]:
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
) -> Receipt | Rejected | None:
    """Return the receipt that a caller's key is kept with, whatever has become of the task
    and of its room since.

    None for a key that is not known, or without one; a Rejected when the key was another request's.
    """
    # Without pairs it starts nothing, and is refused unless the key is known.
    probe = envelope(DistributeTask(wish.task_id, ()))
    if probe.key is None:
        return None
    answer = await plane.execute(probe)
    if isinstance(answer, Receipt) or "header" in answer.details:
        return answer
    return None


def _order(wish: PlanTask, plan: dict[str, Any]) -> DistributeTask:
    pairs = tuple((task_id, node_id) for task_id, node_id in plan["pairs"])
    return DistributeTask(wish.task_id, pairs, wish.strategy, wish.capabilities, shapes.told_out(plan))
