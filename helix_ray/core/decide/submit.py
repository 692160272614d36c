"""SubmitTasks: each spec is taken in or refused by itself, in order."""

from __future__ import annotations

from typing import Any

from helix_ray.core.access import changes_all_tasks
from helix_ray.core.decide.outcome import Context, Decision
from helix_ray.core.dependencies import Resolved, resolve, with_ids
from helix_ray.core.errors import ErrorCode, Rejected, forbidden, invalid
from helix_ray.core.events import TaskSubmitted
from helix_ray.core.lifecycle import TERMINAL
from helix_ray.core.orders import SubmitTasks
from helix_ray.core.policy import Policy, function_allowed
from helix_ray.core.spec_shape import malformed

QUEUE_FULL_RETRY_AFTER_S = 5


def task_ids(seed: str, count: int) -> list[str]:
    """Return the ids of a submit's tasks: they follow from its seed, so a resent order makes the same ones."""
    return [f"task-{seed}"] if count == 1 else [f"task-{seed}-{i}" for i in range(count)]


def submit(body: SubmitTasks, ctx: Context) -> Decision | Rejected:
    """Take specs in. The receipt's data: `seed`, `created_at`, `waiting` (indexes that wait for dependencies) and
    `rejected` (index -> code, message, details); ids follow from task_ids and the seed of the order that was
    carried out, which is another one than the asker's where a key gets its first receipt again."""
    specs = body.specs
    if not specs:
        return invalid("There is no task", field="tasks")
    ids = task_ids(ctx.order.seed, len(specs))
    if any(task_id in ctx.state.tasks for task_id in ids):
        return _again(ids, ctx)
    full = _queue_full(ctx, len(specs))
    if full is not None:
        return full
    refused = [_refusal(spec, ctx) for spec in specs]
    waits = _waits(body, ids, refused, ctx)
    decision = Decision(data={"seed": ctx.order.seed, "created_at": ctx.now, "waiting": [], "rejected": {}})
    for i, (spec, waits_for) in enumerate(zip(specs, waits, strict=True)):
        if isinstance(waits_for, Rejected):
            decision.data["rejected"][str(i)] = [waits_for.code.value, waits_for.message, waits_for.details]
            continue
        if waits_for:
            decision.data["waiting"].append(i)
            spec = with_ids(spec, ids)
        decision.events.append(TaskSubmitted(ids[i], ctx.order.by.id, spec, waits_for))
    return decision


def _queue_full(ctx: Context, count: int) -> Rejected | None:
    limit = ctx.policy.queue_tasks_max
    unfinished = sum(n for status, n in ctx.state.by_status.items() if status not in TERMINAL)
    if unfinished + count <= limit:
        return None
    details = {"queued": unfinished, "limit": limit, "retry_after_s": QUEUE_FULL_RETRY_AFTER_S}
    return Rejected(ErrorCode.RATE_LIMIT_EXCEEDED, "The queue is full", details)


def _waits(body: SubmitTasks, ids: list[str], refused: list[Rejected | None], ctx: Context) -> Resolved:
    if not any("depends_on" in spec for spec in body.specs):
        return [refusal if refusal is not None else [] for refusal in refused]
    owner_only = None if changes_all_tasks(ctx.order.by) else ctx.order.by.id
    return resolve(ctx.state, body.specs, ids, owner_only, refused, body.settled)


def _again(ids: list[str], ctx: Context) -> Decision:
    """Answer a resent order from the tasks that it made."""
    known = [ctx.state.tasks.get(task_id) for task_id in ids]
    refused = {
        str(i): [ErrorCode.VALIDATION_ERROR.value, "Refused before", {}]
        for i, task in enumerate(known)
        if task is None
    }
    created = next((task.created_at for task in known if task), ctx.now)
    waiting = [i for i, task in enumerate(known) if task and task.waits_for]
    return Decision(
        data={"seed": ctx.order.seed, "created_at": created, "waiting": waiting, "rejected": refused}
    )


def _refusal(spec: dict[str, Any], ctx: Context) -> Rejected | None:
    policy = ctx.policy
    wrong = malformed(spec)
    if wrong is not None:
        return invalid(f"Invalid task {wrong}", field=wrong)
    if spec["type"] not in policy.task_types:
        return invalid("Invalid task type", field="type", allowed_values=list(policy.task_types))
    if len(spec.get("depends_on") or ()) > policy.dependencies_max:
        return invalid("Too many dependencies", field="depends_on", limit=policy.dependencies_max)
    run = spec.get("run")
    return _run_refusal(run, ctx, policy) if run else None


def _run_refusal(run: dict[str, Any], ctx: Context, policy: Policy) -> Rejected | None:
    roles = ctx.order.by.roles
    if run["kind"] == "command" and "system" not in roles and not set(policy.command_roles) & set(roles):
        return forbidden(
            "Your role may not submit commands", field="run.kind", allowed_roles=list(policy.command_roles)
        )
    if run["kind"] == "function" and run.get("payload") is None:
        name = run.get("function") or ""
        if "system" not in roles and not function_allowed(policy, name):
            return forbidden("This function is not on the allow-list", field="run.function", function=name)
    if run.get("payload") is not None and "system" not in roles:
        return forbidden("Pickled functions come from inside the cluster only", field="run.payload")
    return None
