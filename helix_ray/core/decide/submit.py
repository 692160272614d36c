"""SubmitTasks: each spec is taken in or refused by itself, in order."""

from __future__ import annotations

from typing import Any

from helix_ray.core.access import changes_all_tasks
from helix_ray.core.decide.outcome import Context, Decision
from helix_ray.core.dependencies import resolve
from helix_ray.core.errors import ErrorCode, Rejected, forbidden, invalid
from helix_ray.core.events import TaskSubmitted
from helix_ray.core.lifecycle import TERMINAL
from helix_ray.core.orders import SubmitTasks
from helix_ray.core.policy import Policy, function_allowed

QUEUE_FULL_RETRY_AFTER_S = 5


def task_ids(seed: str, count: int) -> list[str]:
    """Return the ids of a submit's tasks: they follow from its seed, so a resent order makes the same ones."""
    return [f"task-{seed}"] if count == 1 else [f"task-{seed}-{i}" for i in range(count)]


def submit(body: SubmitTasks, ctx: Context) -> Decision | Rejected:
    """Take specs in. The receipt's data: `created_at`, `waiting` (indexes that wait for dependencies) and
    `rejected` (index -> code, message, details); ids follow from task_ids."""
    specs = body.specs
    ids = task_ids(ctx.order.seed, len(specs))
    if any(known in ctx.state.tasks for known in (ids[0], ids[-1])):
        return _again(ids, ctx)
    unfinished = sum(n for status, n in ctx.state.by_status.items() if status not in TERMINAL)
    if unfinished + len(specs) > ctx.policy.queue_tasks_max:
        return Rejected(
            ErrorCode.RATE_LIMIT_EXCEEDED,
            "The queue is full",
            {
                "queued": unfinished,
                "limit": ctx.policy.queue_tasks_max,
                "retry_after_s": QUEUE_FULL_RETRY_AFTER_S,
            },
        )
    decision = Decision(data={"created_at": ctx.now, "waiting": [], "rejected": {}})
    owner_only = None if changes_all_tasks(ctx.order.by) else ctx.order.by.id
    linked = any("depends_on" in spec for spec in specs)
    waits = resolve(ctx.state, specs, ids, owner_only) if linked else None
    owner = ctx.order.by.id
    for i, spec in enumerate(specs):
        waits_for = waits[i] if waits is not None else []
        refusal = waits_for if isinstance(waits_for, Rejected) else _refusal(spec, ctx)
        if refusal is not None:
            decision.data["rejected"][str(i)] = [refusal.code.value, refusal.message, refusal.details]
            continue
        assert not isinstance(waits_for, Rejected)
        if waits_for:
            decision.data["waiting"].append(i)
        decision.events.append(TaskSubmitted(ids[i], owner, spec, waits_for))
    return decision


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
    return Decision(data={"created_at": created, "waiting": waiting, "rejected": refused})


def _refusal(spec: dict[str, Any], ctx: Context) -> Rejected | None:
    policy = ctx.policy
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
