"""Late reports: which attempt a report is about, and why it is refused if that is not the current one.

    names `attempt`         it must be the running attempt (or the one that has just ended, if repeated)
    names `worker_id`       that worker must run the task
    names neither           it counts if only one worker of the user has run the task

A heartbeat gives a worker its task with the `attempt`, so it can always name it. If it does not, and another
worker of the same user has run the task, the report is refused as `ambiguous`.

A user's change of a queued task is not a report, unless a worker of theirs has run it: then they must name
the next attempt, to be distinguished from that worker.
"""

from __future__ import annotations

from typing import Any

from helix_ray.core.decide.outcome import Context
from helix_ray.core.errors import Rejected, conflict
from helix_ray.core.leases import CANCELLED, LEASE_EXPIRED, REPORTED, RETURNED, Lease, ended_by_end
from helix_ray.core.lifecycle import TERMINAL, Status
from helix_ray.core.orders import UpdateTask
from helix_ray.core.state import Task

AMBIGUOUS = "ambiguous"
# The reason for an unknown or forgotten attempt.
OVER = "over"
_MESSAGES = {
    LEASE_EXPIRED: "The lease of this attempt has expired",
    CANCELLED: "The task was cancelled",
    REPORTED: "This attempt has already been reported",
    RETURNED: "This attempt was returned to the queue",
    AMBIGUOUS: "Several of your workers have run this task: send the attempt number from the heartbeat",
    OVER: "This attempt is over",
}
_REPORTED_STATUSES = frozenset({"completed", "failed", "running", "pending"})


def refuse_late(task: Task, body: UpdateTask, ctx: Context) -> Rejected | None:
    """Return why a report does not count for a task that its author may see; None where it counts."""
    if body.attempt is not None and not _is_present(task, body.attempt, ctx):
        return _refusal(
            task, body, ctx, _how(lease for lease in task.leases if lease.attempt == body.attempt)
        )
    if body.worker_id is not None:
        if body.worker_id == task.worker and not _is_orphan(task, ctx):
            return None
        return _refusal(
            task, body, ctx, _how(lease for lease in task.leases if lease.worker == body.worker_id)
        )
    if body.attempt is not None or not _is_report(body):
        return None
    mine = [lease for lease in task.leases if lease.owner == ctx.order.by.id and lease.ended != RETURNED]
    reason = _unnamed(task, mine, ctx)
    return None if reason is None else _refusal(task, body, ctx, reason)


def refuse_unseen(task: Task, body: UpdateTask, ctx: Context) -> Rejected | None:
    """Return the refusal for a worker that has run a task which its user may not see any
    more; None for any other."""
    mine = [lease for lease in task.leases if lease.owner == ctx.order.by.id]
    if not mine:
        return None
    named = [lease for lease in mine if lease.attempt == body.attempt or lease.worker == body.worker_id]
    reason = _how(named or mine)
    return conflict(_message(reason), reason=reason, attempt=body.attempt, current_attempt=None)


def over(task: Task) -> dict[str, Any]:
    """Return the details of a refusal for a task that has ended: its status, and the reason."""
    return {
        "status": task.status,
        "reason": ended_by_end(task.status, task.error),
        "current_attempt": task.attempt,
        "assigned_worker": None,
    }


def _is_report(body: UpdateTask) -> bool:
    return body.status in _REPORTED_STATUSES or body.progress is not None or body.result is not None


def _is_orphan(task: Task, ctx: Context) -> bool:
    """Say whether the lease has ended and the task is about to be queued again."""
    return task.id in ctx.state.orphans


def _is_present(task: Task, attempt: int, ctx: Context) -> bool:
    if task.status in TERMINAL or task.status is Status.RUNNING:
        return attempt == task.attempt and not _is_orphan(task, ctx)
    # A queued task has no current attempt, only a next one.
    return attempt == task.attempt + 1


def _unnamed(task: Task, mine: list[Lease], ctx: Context) -> str | None:
    """Return the refusal of a report that names neither, given the leases of its author's workers."""
    if not mine:
        return None
    is_ours = task.worker == mine[-1].worker and mine[-1].attempt == task.attempt
    if task.status in TERMINAL or (task.status is Status.RUNNING and not _is_orphan(task, ctx)):
        if is_ours:
            return AMBIGUOUS if len({lease.worker for lease in mine}) > 1 else None
        return None if task.status in TERMINAL else _how(mine)
    return _how(mine)


def _how(leases: Any) -> str:
    """Return how the newest of some leases ended; an open one belongs to a worker that is gone."""
    found = list(leases)
    return (found[-1].ended or LEASE_EXPIRED) if found else OVER


def _message(reason: str) -> str:
    return _MESSAGES.get(reason, f"This attempt exceeded its {reason}")


def _refusal(task: Task, body: UpdateTask, ctx: Context, reason: str) -> Rejected:
    runs = task.status is Status.RUNNING and not _is_orphan(task, ctx)
    now = "no worker is running the task now"
    if runs:
        now = (
            "a user is working on the task now"
            if task.worker is None
            else f"{task.worker} is running the task now"
        )
    named = {"attempt": body.attempt, "worker_id": body.worker_id}
    return conflict(
        f"{_message(reason)}; {now}",
        reason=reason,
        **{name: value for name, value in named.items() if value is not None},
        current_attempt=task.attempt if runs or task.status in TERMINAL else None,
        assigned_worker=task.worker if runs else None,
    )
