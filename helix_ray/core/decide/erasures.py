"""Orders about erasing. The request deletes what is left of the named tasks; the bodies of facts go after
the next snapshot (actors/eraser.py), since a start folds what comes after it."""

from __future__ import annotations

import re
from collections.abc import Iterator

from helix_ray.core.decide.endings import Endings
from helix_ray.core.decide.outcome import Context, Decider, Decision
from helix_ray.core.errors import Rejected, conflict, invalid, not_found
from helix_ray.core.events import ErasureCompleted, ErasureRequested, Event, TaskDeleted
from helix_ray.core.lifecycle import TERMINAL
from helix_ray.core.orders import CompleteErasure, RequestErasure
from helix_ray.core.orders.kind import IdData
from helix_ray.core.state import Task
from helix_ray.core.usernames import find_user_id
from helix_ray.core.weight import tasks_of

ERASURE_SUBJECTS_MAX = 1_000
ERASURE_REASON_CHARS_MAX = 500
ERASURES_PENDING_MAX = 100
# Finished tasks in memory that one request may delete, with their shards.
ERASURE_DELETED_TASKS_MAX = 5_000
TASK_PREFIX, USER_PREFIX = "task-", "user-"
_SHARD = re.compile(r"(.+)-s\d+")


def request(body: RequestErasure, ctx: Context) -> Decision[IdData] | Rejected:
    """Take a request: nothing of what is named may be in use; finished tasks are deleted at once."""
    refusal = _check(body, ctx) or _check_users(body, ctx)
    if refusal is not None:
        return refusal
    ended: dict[str, Task] = {}
    for task in _tasks(body, ctx):
        if task.status not in TERMINAL:
            return conflict(
                f"Task {task.id} is {task.status}: it can be erased when it has ended; cancel it first",
                task_id=task.id, status=task.status, owner=task.owner,
            )  # fmt: skip
        ended[task.id] = task
    if (unexported := _check_exported(body, ended, ctx)) is not None:
        return unexported
    if sum(tasks_of(task.spec) for task in ended.values()) > ERASURE_DELETED_TASKS_MAX:
        return conflict(
            "Too many of these tasks have ended only lately and are still in memory: try again "
            "later, or name fewer",
            tasks_max=ERASURE_DELETED_TASKS_MAX,
        )  # fmt: skip
    erasure_id = f"erasure-{ctx.order.seed}"
    asked = ErasureRequested(erasure_id, list(body.task_ids), list(body.user_ids), body.reason)
    return Decision([*_deletions(body, ended, ctx), asked], {"id": erasure_id})


def _check(body: RequestErasure, ctx: Context) -> Rejected | None:
    named = len(body.task_ids) + len(body.user_ids)
    if not 0 < named <= ERASURE_SUBJECTS_MAX:
        message = f"The request must name 1 to {ERASURE_SUBJECTS_MAX} tasks and users in all"
        return invalid(message, field="tasks", subjects_max=ERASURE_SUBJECTS_MAX)
    reason = body.reason.strip()
    if not reason or len(body.reason) > ERASURE_REASON_CHARS_MAX or not body.reason.isprintable():
        message = f"The reason must be one line of 1 to {ERASURE_REASON_CHARS_MAX} characters"
        return invalid(message, field="reason", chars_max=ERASURE_REASON_CHARS_MAX)
    for task_id in body.task_ids:
        if not _is_id(task_id, TASK_PREFIX):
            return _no_id("tasks", "task", task_id, TASK_PREFIX)
        shard = _SHARD.fullmatch(task_id)
        if shard is not None:
            message = f"{task_id} is a shard: name its parent task, and the shards are erased with it"
            return invalid(message, field="tasks", parent=shard[1])
    pending = sum(1 for erasure in ctx.state.erasures.values() if erasure.completed_at is None)
    if pending >= ERASURES_PENDING_MAX:
        message = "Too many erasures are under way: try again when some are completed"
        return conflict(message, erasures_max=ERASURES_PENDING_MAX)
    return None


def _is_id(text: str, prefix: str) -> bool:
    return text.startswith(prefix) and text.isprintable()


def _no_id(field: str, kind: str, text: str, prefix: str) -> Rejected:
    """Refuse what cannot be an id: an erasure of a mistyped one would be completed, and erase nothing."""
    return invalid(f"{text!r} is not a valid {kind} id: it must begin with {prefix}", field=field)


def _check_users(body: RequestErasure, ctx: Context) -> Rejected | None:
    """Refuse users who can still do something, and workers of theirs that the state still knows."""
    for user_id in body.user_ids:
        known = user_id if user_id in ctx.state.users else find_user_id(ctx.state, user_id)
        if known is not None:
            username = ctx.state.users[known].username
            message = f"User {username} ({known}) still exists: remove the user first, then erase {known}"
            return conflict(message, user_id=known, username=username)
        if not _is_id(user_id, USER_PREFIX):
            return _no_id("users", "user", user_id, USER_PREFIX)
    users = frozenset(body.user_ids)
    for worker in ctx.state.workers.values():
        if worker.owner in users:
            message = f"Worker {worker.id} of {worker.owner} is still registered: remove it first"
            return conflict(message, worker_id=worker.id, user_id=worker.owner)
    return None


def _check_exported(body: RequestErasure, ended: dict[str, Task], ctx: Context) -> Rejected | None:
    """Refuse where the audit of what is named is not kept elsewhere, and that is demanded."""
    if not ctx.policy.audit_keep_until_exported:
        return None
    state = ctx.state
    # Of tasks that have left memory, and of when a user was removed, only the newest seqs are known.
    ends = [task.finished_seq for task in ended.values()]
    if body.user_ids or len(ended) < len(body.task_ids):
        ends.append(state.archived_through)
    needed = max([*ends, state.user_removed_seq if body.user_ids else 0])
    if needed <= state.exported_through:
        return None
    return conflict(
        f"The audit must be exported up to fact {needed} before this is erased (HELIX_AUDIT_KEEP_UNTIL), "
        f"and was up to fact {state.exported_through}: run helix audit forward, or export it and run "
        "helix audit acknowledge",
        needed=needed, exported=state.exported_through,
    )  # fmt: skip


def _tasks(body: RequestErasure, ctx: Context) -> Iterator[Task]:
    """Give the tasks of memory that the request is about."""
    tasks = ctx.state.tasks
    yield from (tasks[task_id] for task_id in body.task_ids if task_id in tasks)
    if body.user_ids:
        users = frozenset(body.user_ids)
        yield from (task for task in tasks.values() if task.owner in users)


def _deletions(body: RequestErasure, ended: dict[str, Task], ctx: Context) -> list[Event]:
    """Delete what is in memory, and of what is named the rest from the history:
    nobody reads or retries it."""
    endings = Endings(ctx.state, ctx.now, ctx.policy.spread_tasks_max)
    for task in ended.values():
        if "shard" not in task.spec or task.spec["shard"]["of"] not in ended:
            endings.delete(task)
    archived = (TaskDeleted(task_id) for task_id in body.task_ids if task_id not in ended)
    return [*endings.events, *archived]


def complete(body: CompleteErasure, ctx: Context) -> Decision[IdData] | Rejected:
    """Note that a request was carried out."""
    erasure = ctx.state.erasures.get(body.erasure_id)
    if erasure is None:
        return not_found("Erasure", body.erasure_id)
    if erasure.completed_at is not None:
        return Decision([], {"id": erasure.id})
    completed = ErasureCompleted(erasure.id, erasure.facts, body.kept, list(body.copies))
    return Decision([completed], {"id": erasure.id}, author=erasure.by)


ERASURE_ORDERS: dict[type, Decider] = {
    RequestErasure: request,
    CompleteErasure: complete,
}
