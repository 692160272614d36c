"""Orders about workers: register, heartbeat, drain, lose, remove."""

from __future__ import annotations

from math import ceil

from helix_ray.core.access import SYSTEM
from helix_ray.core.decide.attempts import lose_attempts
from helix_ray.core.decide.endings import Endings
from helix_ray.core.decide.outcome import Context, Decider, Decision
from helix_ray.core.errors import ErrorCode, Rejected, conflict, forbidden, invalid, not_found
from helix_ray.core.events import (
    Event,
    TaskAssigned,
    WorkerCrossedThreshold,
    WorkerDrained,
    WorkerLost,
    WorkerRegistered,
    WorkerRetired,
)
from helix_ray.core.evolve.workers import REMOVED, STARTED_AGAIN
from helix_ray.core.liveness import Begun, Gone, Heard
from helix_ray.core.names import (
    HOSTNAME_CHARS_MAX,
    WORKER_ID_CHARS_MAX,
    WORKER_PREFIX,
    external_worker_id,
    is_node_worker_id,
    is_word,
)
from helix_ray.core.orders import (
    CrossThreshold,
    DrainWorker,
    Heartbeat,
    LoseWorker,
    RegisterWorker,
    RemoveLostWorkers,
    RemoveWorker,
)
from helix_ray.core.orders.kind import NoData
from helix_ray.core.orders.workers import (
    DrainedData,
    HeartbeatData,
    RegisteredData,
    RemovedData,
    WorkerIdData,
)
from helix_ray.core.pace import next_heartbeat_s
from helix_ray.core.placement.units import capabilities_of
from helix_ray.core.specs import Usage
from helix_ray.core.state import EXTERNAL, MANUAL, Task, TaskClass, Worker


def register(body: RegisterWorker, ctx: Context) -> Decision[RegisteredData] | Rejected:
    """Register a worker. If it returns with another boot, the tasks of its old process are queued again."""
    worker_id = body.worker_id or external_worker_id(ctx.order.seed)
    by = ctx.order.by
    known = ctx.state.workers.get(worker_id)
    if body.kind == "node" and "system" not in by.roles:
        return forbidden("Only the cluster itself can register node workers", kind=body.kind)
    if body.kind != "node" and (refused := _not_its_name(body, worker_id, known, ctx)) is not None:
        return refused
    another = known is None or known.owner != by.id
    events = _room_for_one_more(ctx) if another and body.kind != "node" else []
    if isinstance(events, Rejected):
        return events
    if known is not None and known.kind != body.kind:
        # An older journal may have an external worker with a node's name: the node takes the name.
        events.extend(_take_away(known, "a node of the cluster has taken over its id", ctx))
        events.append(WorkerRetired(worker_id))
    elif known is not None and another and known.kind != "node":
        events.extend(_take_away(known, "its worker's user was removed", ctx))
    elif known is not None and known.boot != body.boot:
        events.extend(_take_away(known, STARTED_AGAIN, ctx))
    capabilities = sorted({*body.capabilities, *capabilities_of(body.resources)})
    events.append(
        WorkerRegistered(
            worker_id, body.kind, by.id, body.hostname, capabilities, body.resources, body.labels,
            body.node_id, body.boot, body.certificate,
        )
    )  # fmt: skip
    removed = [Gone(event.id) for event in events if isinstance(event, WorkerRetired)]
    data: RegisteredData = {"worker_id": worker_id, "registered_at": ctx.now}
    return Decision(events, data, signs=[*removed, Begun(worker_id)])


def _not_its_name(
    body: RegisterWorker, worker_id: str, known: Worker | None, ctx: Context
) -> Rejected | None:
    """Refuse an invalid name of an external worker, the id of a node, and the id of another user's worker."""
    for field, text, chars_max in (
        ("hostname", body.hostname, HOSTNAME_CHARS_MAX),
        ("worker_id", worker_id, WORKER_ID_CHARS_MAX),
    ):
        if not is_word(text, chars_max):
            return invalid(
                f"Invalid worker {field}: it must be a single word", field=field, chars_max=chars_max
            )
    its_own = known is not None and known.kind == body.kind and known.owner == ctx.order.by.id
    if is_node_worker_id(worker_id) and not its_own:
        return invalid(
            f"Worker ids of the form {WORKER_PREFIX}NAME are reserved for nodes of the cluster: "
            "omit worker_id to be assigned one, or choose another form",
            field="worker_id",
            id=worker_id,
        )
    if known is None or its_own or _is_left_behind(known, ctx):
        return None
    return not_found("Worker", worker_id)


def _is_left_behind(worker: Worker, ctx: Context) -> bool:
    """Say whether an external worker's user was removed: otherwise nobody could ever use its id again."""
    return worker.kind == "external" and worker.owner not in ctx.state.users and worker.owner != SYSTEM.id


def _room_for_one_more(ctx: Context) -> list[Event] | Rejected:
    """Remove the longest lost worker of a user with the maximum of workers; refuse
    where none of theirs is lost.

    Otherwise a program that registers under another id at each start would fill the master's memory and slow
    down everything that goes through all workers.
    """
    limit = ctx.policy.workers_per_user_max
    if len(ctx.state.workers) < limit:
        return []
    by = ctx.order.by
    mine = [w for w in ctx.state.workers.values() if w.kind == "external" and w.owner == by.id]
    if len(mine) < limit:
        return []
    lost = [worker for worker in mine if worker.lost and not worker.running]
    if lost:
        return [WorkerRetired(min(lost, key=lambda worker: worker.lost_at[-1]).id)]
    details = {"workers": len(mine), "limit": limit, "retry_after_s": ceil(ctx.policy.lease_s)}
    return Rejected(ErrorCode.RATE_LIMIT_EXCEEDED, "You have reached the maximum number of workers", details)


def _take_away(worker: Worker, reason: str, ctx: Context) -> list[Event]:
    """Queue again (or, after too many losses, fail) the tasks of a worker, up to the order's limit.

    The rest is orphaned by the fact that follows, and handled by SpreadEndings in commits of its own.
    """
    endings = Endings(ctx.state, ctx.now, ctx.policy.spread_tasks_max)
    lose_attempts(((task_id, reason) for task_id in worker.running), ctx, endings)
    return endings.events


def _usage_of(worker: Worker, body: Heartbeat) -> Usage:
    """Return the figures of a heartbeat: the form of devices and hosts is only known of nodes of the
    cluster."""
    usage = body.usage
    if worker.kind == "node":
        return usage
    usage = usage.copy()
    usage.pop("host", None)
    usage.pop("processes", None)
    if isinstance(usage.get("devices"), list):
        del usage["devices"]
    return usage


def heartbeat(body: Heartbeat, ctx: Context) -> Decision[HeartbeatData] | Rejected:
    """Record a worker's pulse; assign an idle external worker the best pending task that it can run."""
    worker = ctx.state.workers.get(body.worker_id)
    # Only from the user who registered it: another's heartbeat would keep a dead worker's lease.
    known = worker is not None and worker.owner == ctx.order.by.id
    # A replaced process must not extend its successor's lease.
    if worker is None or not known or body.boot not in (None, worker.boot):
        message = "Worker not found. Register it first (POST /api/v1/workers/register)"
        return Rejected(ErrorCode.NOT_FOUND, message, {"id": body.worker_id})
    heard = Heard(worker.id, body.status, body.current_task, _usage_of(worker, body), body.number)
    data: HeartbeatData = {"acknowledged": True, "assigned_task": None}
    decision = Decision([], data, signs=[heard])
    if worker.lost:
        decision.events.append(_returned(worker))
    if worker.kind == "node":
        return decision
    running = next(iter(worker.running.items()), None)
    if (
        running is None
        and body.current_task is None
        and body.status in (None, "idle")
        and not worker.draining
    ):
        task = _claim(worker, ctx)
        if task is not None:
            running = (task.id, task.attempt + 1)
            decision.events.append(TaskAssigned(task.id, task.attempt + 1, worker.id))
    if running is not None:
        data["assigned_task"], data["attempt"] = running
        data["lease_expires_at"] = ctx.now + ctx.policy.lease_s
    data["next_heartbeat_s"] = next_heartbeat_s(
        ctx.policy.lease_s,
        len(ctx.state.workers),
        has_task=running is not None,
        work_waits=running is None and not worker.draining and _claim(worker, ctx) is not None,
    )
    # The workers that share the caller's rate limit.
    data["sharers"] = sum(
        other.owner == worker.owner and not other.lost for other in ctx.state.workers.values()
    )
    return decision


def _returned(worker: Worker) -> WorkerRegistered:
    """Return the fact that a lost worker is back; its tasks were queued again when it was lost."""
    return WorkerRegistered(
        worker.id, worker.kind, worker.owner, worker.hostname, sorted(worker.capabilities), worker.resources,
        worker.labels, worker.node_id, worker.boot,
    )  # fmt: skip


def _claim(worker: Worker, ctx: Context) -> Task | None:
    best: tuple[float, TaskClass, int] | None = None
    for task_class, queue in ctx.state.ready.items():
        if task_class.kind == EXTERNAL and task_class.strategy != MANUAL and can_do(worker, task_class):
            head = queue.head(ctx.policy.priority_aging_s)
            if head is not None and (best is None or head[0] < best[0]):
                best = (head[0], task_class, head[1])
    if best is None:
        return None
    line = ctx.state.ready[best[1]].levels[best[2]]
    return ctx.state.tasks[next(iter(line))]


def can_do(worker: Worker, task_class: TaskClass) -> bool:
    """Say whether an external worker can run a task of a class."""
    if task_class.signature not in worker.capabilities or not worker.capabilities.issuperset(
        task_class.capabilities
    ):
        return False
    if any(worker.labels.get(name) != value for name, value in task_class.labels):
        return False
    # Workers in the API reference have `memory`, tasks `memory_mb`; resources that a worker does not
    # state are not checked.
    offers = {"memory_mb": worker.resources.get("memory"), **worker.resources}
    return all(
        (offer := offers.get(name)) is None or float(offer) >= amount for name, amount in task_class.demand
    )


def drain(body: DrainWorker, ctx: Context) -> Decision[DrainedData] | Rejected:
    """Drain or undrain a worker; its running tasks finish."""
    worker = ctx.state.workers.get(body.worker_id)
    if worker is None:
        return not_found("Worker", body.worker_id)
    events: list[Event] = (
        [] if worker.draining == body.draining else [WorkerDrained(worker.id, body.draining)]
    )
    return Decision(events, {"worker_id": worker.id, "draining": body.draining})


def lose(body: LoseWorker, ctx: Context) -> Decision[NoData] | Rejected:
    """Declare a worker lost; its tasks are queued again."""
    worker = ctx.state.workers.get(body.worker_id)
    if worker is None:
        return not_found("Worker", body.worker_id)
    if worker.lost:
        return Decision([], {})
    return Decision([*_take_away(worker, body.reason, ctx), WorkerLost(worker.id, body.reason)], {})


def cross(body: CrossThreshold, ctx: Context) -> Decision[NoData] | Rejected:
    """Record the level of a node's figure, unless it has it already."""
    worker = ctx.state.workers.get(body.worker_id)
    if worker is None or worker.kind != "node":
        return not_found("Node", body.worker_id)
    if worker.over.get(body.figure, "ok") == body.level:
        return Decision([], {})
    crossed = WorkerCrossedThreshold(worker.id, body.figure, body.level, body.value, body.limit, body.for_s)
    return Decision([crossed], {})


def remove(body: RemoveWorker, ctx: Context) -> Decision[WorkerIdData] | Rejected:
    """Remove a worker; a live node must be drained first, so that nobody ends its tasks by mistake."""
    worker = ctx.state.workers.get(body.worker_id)
    if worker is None:
        return not_found("Worker", body.worker_id)
    if worker.kind == "node" and not worker.lost and (worker.running or not worker.draining):
        return conflict(
            "This node is running: drain it (POST /api/v1/workers/{id}/drain) and wait until it runs "
            "no tasks before removing it",
            id=worker.id,
            draining=worker.draining,
            running_total=len(worker.running),
        )
    taken = _take_away(worker, REMOVED, ctx)
    return Decision([*taken, WorkerRetired(worker.id)], {"worker_id": worker.id}, signs=[Gone(worker.id)])


def remove_lost_workers(body: RemoveLostWorkers, ctx: Context) -> Decision[RemovedData]:
    """Remove workers that have been lost for long enough; a worker that comes back later registers again."""
    removed: list[Event] = []
    signs: list[Gone] = []
    for worker_id in dict.fromkeys(body.worker_ids):
        worker = ctx.state.workers.get(worker_id)
        if worker is None:
            signs.append(Gone(worker_id))
        elif lost_for_s(worker, ctx.now) > ctx.policy.lost_worker_keep_s:
            removed.append(WorkerRetired(worker_id))
            signs.append(Gone(worker_id))
    return Decision(removed, {"removed": len(removed)}, signs=signs)


def lost_for_s(worker: Worker, now: float) -> float:
    """Return for how many seconds a worker has been lost; 0 if it is not lost."""
    return now - worker.lost_at[-1] if worker.lost and not worker.running else 0.0


WORKER_ORDERS: dict[type, Decider] = {
    RegisterWorker: register,
    Heartbeat: heartbeat,
    DrainWorker: drain,
    LoseWorker: lose,
    CrossThreshold: cross,
    RemoveLostWorkers: remove_lost_workers,
    RemoveWorker: remove,
}
