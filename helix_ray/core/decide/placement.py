"""Orders about placement: distribute a task now."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from helix_ray.core.decide.attempts import assignments
from helix_ray.core.decide.outcome import Context, Decider, Decision
from helix_ray.core.decide.shards import waiting_shards
from helix_ray.core.decide.visible import changeable
from helix_ray.core.decide.workers import can_do
from helix_ray.core.errors import Rejected, conflict, invalid
from helix_ray.core.events import Event, TaskEdited
from helix_ray.core.families import is_sharded
from helix_ray.core.lifecycle import Status
from helix_ray.core.membership import refuse_use
from helix_ray.core.orders import DistributeTask
from helix_ray.core.orders.placement import DistributedData, PlannedData
from helix_ray.core.placement.fit import node_of
from helix_ray.core.placement.node import prefetch_by, slots_of
from helix_ray.core.placement.rules import Shares
from helix_ray.core.placement.strategies import STRATEGIES
from helix_ray.core.specs import TaskEdits
from helix_ray.core.state import EXTERNAL, MANUAL, Task, TaskClass, Worker, class_of


def distribute(body: DistributeTask, ctx: Context) -> Decision[DistributedData] | Rejected:
    """Start a pending task, or its pending shards, on the nodes of the pairs; rejected as stale if one
    pair is not valid now."""
    task = changeable(ctx, body.task_id)
    if isinstance(task, Rejected):
        return task
    refused = refuse_use(ctx.state, ctx.order.by, task.spec.get("project_id"))
    if refused is not None:
        return refused
    if task.status is not Status.PENDING:
        # It was started meanwhile, perhaps on suitable nodes: a new plan will tell.
        stale = task.status is Status.RUNNING
        return conflict(
            f"A {task.status} task cannot be distributed",
            status=task.status,
            assigned_worker=task.worker,
            stale=stale,
        )
    if body.strategy is not None and body.strategy not in STRATEGIES:
        return invalid(
            "Invalid distribution strategy", field="distribution_strategy", allowed_values=list(STRATEGIES)
        )
    shards = waiting_shards(ctx.state, task)
    ids = {task_id for task_id, _ in body.pairs}
    if not ids or len(ids) < len(body.pairs) or ids - {shard.id for shard in shards}:
        return conflict("The plan does not match the tasks that are waiting now", stale=True)
    if shards[0].task_class.gang and len(body.pairs) < len(shards):
        return conflict("All shards of a gang must start together", shards=len(shards), stale=True)
    changes = _changes(task, body, ctx)
    # All shards have the same class.
    task_class = class_of({**shards[0].spec, **changes}, shards[0].owner)
    refused = _no_longer_fits(task_class, body.pairs, ctx) or _over_quota(task_class, body.pairs, ctx)
    if refused is not None:
        return refused
    edited: list[Event] = [TaskEdited(each.id, changes) for each in _edited(task, shards) if changes]
    events = [*edited, *assignments(body.pairs, ctx)]
    nodes = list(dict.fromkeys(node_id for _, node_id in body.pairs))
    if body.plan is None:
        return Decision(events, {"id": task.id, "assigned_nodes": nodes})
    planned: PlannedData = {**body.plan, "id": task.id, "assigned_nodes": nodes}
    return Decision(events, planned)


def _over_quota(task_class: TaskClass, pairs: Sequence[tuple[str, str]], ctx: Context) -> Rejected | None:
    """Refuse a plan that exceeds the project's quota, because another distribution came first."""
    if task_class.kind == EXTERNAL or task_class.project not in ctx.state.quotas:
        return None
    given = Counter(node_id for _, node_id in pairs)
    slots: dict[TaskClass, int] = {}
    more = 0
    for worker in ctx.state.workers.values():
        if worker.kind == "node":
            for other, count in worker.load.items():
                if other.project == task_class.project:
                    slots[other] = slots.get(other, 0) + slots_of(count, _prefetch_for(other, ctx))
            running, prefetch = worker.load.get(task_class, 0), _prefetch_for(task_class, ctx)
            more += slots_of(running + given[worker.id], prefetch) - slots_of(running, prefetch)
    allowed = Shares(slots, {}, ctx.state.quotas).slots_allowed(task_class)
    if allowed is None or more <= allowed:
        return None
    return conflict("The project's quota is used up", project_id=task_class.project, stale=True)


def _prefetch_for(task_class: TaskClass, ctx: Context) -> int:
    return prefetch_by(ctx.state.durations, task_class)


def _edited(task: Task, shards: list[Task]) -> list[Task]:
    return [task, *shards] if is_sharded(task) else [task]


def _changes(task: Task, body: DistributeTask, ctx: Context) -> TaskEdits:
    changes: TaskEdits = {}
    strategy = body.strategy
    if strategy is None and task.spec.get("strategy") == MANUAL:
        # If its attempt is lost, the scheduler places it again.
        strategy = ctx.policy.strategy
    if strategy is not None and strategy != task.spec.get("strategy"):
        changes["strategy"] = strategy
    known = task.spec.get("required_capabilities") or []
    added = [name for name in body.capabilities if name not in known]
    if added:
        changes["required_capabilities"] = [*known, *added]
    return changes


def _no_longer_fits(task_class: TaskClass, pairs: Sequence[tuple[str, str]], ctx: Context) -> Rejected | None:
    """Check each node against the state once; external usage may still delay the start."""
    first = {node_id: task_id for task_id, node_id in reversed(pairs)}
    for node_id, here in Counter(node_id for _, node_id in pairs).items():
        worker = ctx.state.workers.get(node_id)
        if worker is None or worker.lost or worker.draining or not _takes(worker, task_class, here, ctx):
            message = "The node does not have enough free resources"
            return conflict(message, id=first[node_id], node=node_id, stale=True)
    return None


def _takes(worker: Worker, task_class: TaskClass, tasks: int, ctx: Context) -> bool:
    if task_class.kind == EXTERNAL:
        return worker.kind == "external" and not worker.running and can_do(worker, task_class)
    if worker.kind != "node":
        return False
    node = node_of(worker)
    node.recompute(lambda other: _prefetch_for(other, ctx))
    return node.suits(task_class) and node.room(task_class, _prefetch_for(task_class, ctx)) >= tasks


PLACEMENT_ORDERS: dict[type, Decider] = {DistributeTask: distribute}
