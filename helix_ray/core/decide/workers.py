"""Orders about workers: register, heartbeat, drain, lose."""

from __future__ import annotations

from helix_ray.core.decide.attempts import conclude
from helix_ray.core.decide.endings import Endings
from helix_ray.core.decide.outcome import Context, Decider, Decision
from helix_ray.core.errors import Rejected, conflict, forbidden, not_found
from helix_ray.core.events import (
    Event,
    TaskAssigned,
    WorkerDrained,
    WorkerLost,
    WorkerRegistered,
    WorkerRetired,
)
from helix_ray.core.orders import (
    AttemptReport,
    DrainWorker,
    Heartbeat,
    LoseWorker,
    RegisterWorker,
    RetireWorkers,
)
from helix_ray.core.pace import next_heartbeat_s
from helix_ray.core.placement.units import capabilities_of
from helix_ray.core.state import EXTERNAL, MANUAL, Task, TaskClass, Worker


def register(body: RegisterWorker, ctx: Context) -> Decision | Rejected:
    """Know a worker. One that comes back under its id with another boot loses what its old self held."""
    worker_id = body.worker_id or f"worker-{ctx.order.seed}"
    by = ctx.order.by
    known = ctx.state.workers.get(worker_id)
    if known is not None and known.owner != by.id:
        return not_found("Worker", worker_id)
    if body.kind == "node" and "system" not in by.roles:
        return forbidden("Only the cluster itself registers node workers", kind=body.kind)
    if known is not None and known.kind != body.kind:
        return conflict("This worker is of another kind", kind=known.kind)
    events: list[Event] = []
    if known is not None and known.boot != body.boot:
        events.extend(_take_away(known, "the worker started again", ctx))
    capabilities = sorted({*body.capabilities, *capabilities_of(body.resources)})
    events.append(
        WorkerRegistered(
            worker_id, body.kind, by.id, body.hostname, capabilities, body.resources, body.labels,
            body.node_id, body.boot,
        )
    )  # fmt: skip
    return Decision(events, {"worker_id": worker_id, "registered_at": ctx.now})


def _take_away(worker: Worker, reason: str, ctx: Context) -> list[Event]:
    """Requeue (or, after too many losses, fail) everything a worker holds."""
    endings = Endings(ctx.state, ctx.now, ctx.policy.spread_tasks_max)
    error = {"reason": "lost", "message": reason, "worker": worker.id}
    for task_id, attempt in worker.held.items():
        task = ctx.state.tasks[task_id]
        if not endings.over(task):
            conclude(task, AttemptReport(task_id, attempt, "lost", error=error), ctx, endings)
    return endings.events


def heartbeat(body: Heartbeat, ctx: Context) -> Decision | Rejected:
    """Note a worker's pulse; hand an idle external worker the best pending task it can do."""
    worker = ctx.state.workers.get(body.worker_id)
    if worker is None or (worker.owner != ctx.order.by.id and "admin" not in ctx.order.by.roles):
        return not_found("Worker", body.worker_id)
    if body.boot is not None and body.boot != worker.boot:
        # A process that was replaced must not keep its successor's lease alive.
        return not_found("Worker", body.worker_id)
    decision = Decision(data={"acknowledged": True, "assigned_task": None})
    if worker.lost:
        decision.events.append(_returned(worker))
    if worker.kind == "node":
        return decision
    held = next(iter(worker.held.items()), None)
    if held is None and body.current_task is None and body.status in (None, "idle") and not worker.draining:
        task = _claim(worker, ctx)
        if task is not None:
            held = (task.id, task.attempt + 1)
            decision.events.append(TaskAssigned(task.id, task.attempt + 1, worker.id))
    if held is not None:
        lease_end = ctx.now + ctx.policy.lease_s
        decision.data.update(assigned_task=held[0], attempt=held[1], lease_expires_at=lease_end)
    decision.data["next_heartbeat_s"] = next_heartbeat_s(
        ctx.policy.lease_s,
        len(ctx.state.workers),
        has_task=held is not None,
        work_waits=held is None and not worker.draining and _claim(worker, ctx) is not None,
    )
    # Who shares the caller's allowance.
    decision.data["sharers"] = sum(
        other.owner == worker.owner and not other.lost for other in ctx.state.workers.values()
    )
    return decision


def _returned(worker: Worker) -> WorkerRegistered:
    """A worker thought lost is back; what it held was taken away when it was lost."""
    return WorkerRegistered(
        worker.id, worker.kind, worker.owner, worker.hostname, sorted(worker.capabilities), worker.resources,
        worker.labels, worker.node_id, worker.boot,
    )  # fmt: skip


def _claim(worker: Worker, ctx: Context) -> Task | None:
    best: tuple[float, TaskClass, int] | None = None
    for group, queue in ctx.state.ready.items():
        if group.kind == EXTERNAL and group.strategy != MANUAL and can_do(worker, group):
            head = queue.head(ctx.policy.priority_aging_s)
            if head is not None and (best is None or head[0] < best[0]):
                best = (head[0], group, head[1])
    if best is None:
        return None
    line = ctx.state.ready[best[1]].levels[best[2]]
    return ctx.state.tasks[next(iter(line))]


def can_do(worker: Worker, group: TaskClass) -> bool:
    """Say whether an external worker can do a task of a class."""
    if group.signature not in worker.capabilities or not worker.capabilities.issuperset(group.capabilities):
        return False
    if any(worker.labels.get(name) != value for name, value in group.labels):
        return False
    # The reference's workers say `memory`, tasks say `memory_mb`; what a worker does not state is not checked.
    offers = {"memory_mb": worker.resources.get("memory"), **worker.resources}
    return all(offers.get(name) is None or float(offers[name]) >= amount for name, amount in group.demand)


def drain(body: DrainWorker, ctx: Context) -> Decision | Rejected:
    """Stop (or start again) giving a worker work; what it runs, it finishes."""
    worker = ctx.state.workers.get(body.worker_id)
    if worker is None:
        return not_found("Worker", body.worker_id)
    events: list[Event] = (
        [] if worker.draining == body.draining else [WorkerDrained(worker.id, body.draining)]
    )
    return Decision(events, {"worker_id": worker.id, "draining": body.draining})


def lose(body: LoseWorker, ctx: Context) -> Decision | Rejected:
    """Give up on a worker; what it held is queued again."""
    worker = ctx.state.workers.get(body.worker_id)
    if worker is None:
        return not_found("Worker", body.worker_id)
    if worker.lost:
        return Decision()
    return Decision([*_take_away(worker, body.reason, ctx), WorkerLost(worker.id, body.reason)])


def retire_workers(body: RetireWorkers, ctx: Context) -> Decision:
    """Forget those that are still lost, and have been for long enough; one that comes back later registers anew."""
    retired: list[Event] = []
    for worker_id in dict.fromkeys(body.worker_ids):
        worker = ctx.state.workers.get(worker_id)
        if worker is not None and lost_for_s(worker, ctx.now) > ctx.policy.lost_worker_keep_s:
            retired.append(WorkerRetired(worker_id))
    return Decision(retired, {"retired": len(retired)})


def lost_for_s(worker: Worker, now: float) -> float:
    """Return for how many seconds a worker has been lost; 0 for one that is not."""
    return now - worker.lost_at[-1] if worker.lost and not worker.held else 0.0


WORKER_ORDERS: dict[type, Decider] = {
    RegisterWorker: register,
    Heartbeat: heartbeat,
    DrainWorker: drain,
    LoseWorker: lose,
    RetireWorkers: retire_workers,
}
