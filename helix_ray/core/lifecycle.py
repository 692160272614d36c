"""The lifecycle of tasks: one table of all legal transitions; nothing else may change a status.

A task is *waiting* while a task it depends on is unfinished, *pending* while it waits for a worker, *running*
while an attempt is leased to a worker (or taken by a user), and then ends once: *completed*, *failed* or
*cancelled*. The last three are terminal. Only two facts lead out of a terminal status, both requested by a
user: TaskRequeued after a failure or a cancel (`POST /tasks/{id}/retry`), and TaskDeleted.

Every assignment is an attempt with its own fencing number. A fact about an attempt contains the number, and
decide refuses a report with another number than the current one, so the table does not need numbers.

A fact that the table does not list raises IllegalMove and changes nothing: decide must not emit it.
docs/state_machine.md is drawn from this table.
"""

from __future__ import annotations

from enum import StrEnum

from helix_ray.core.errors import IllegalMove


class Status(StrEnum):
    """The status of a task."""

    WAITING = "waiting"
    PENDING = "pending"
    RUNNING = "running"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"


TERMINAL = frozenset({Status.COMPLETED, Status.FAILED, Status.CANCELLED})

W, P, R, C, F, X = (
    Status.WAITING,
    Status.PENDING,
    Status.RUNNING,
    Status.COMPLETED,
    Status.FAILED,
    Status.CANCELLED,
)

MOVES: dict[str, dict[Status, Status]] = {
    # Its dependencies have completed, or its retry delay is over.
    "TaskReleased": {W: P, P: P},
    # A worker has a new attempt.
    "TaskAssigned": {P: R},
    "TaskProgressed": {R: R},
    "TaskOutlasted": {R: R},
    # Its code waits for other tasks: it has no CPUs meanwhile.
    "TaskBlocked": {R: R},
    "TaskUnblocked": {R: R},
    # A more urgent task waits for it, or does not any more.
    "TaskPrioritised": {W: W, P: P, R: R},
    "TaskEdited": {W: W, P: P, R: R},
    # Back to the queue: a retry after a failure, a lost worker, an attempt returned
    # unstarted, a manual retry.
    "TaskRequeued": {R: P, F: P, X: P},
    # Queued again together with its dependencies.
    "TaskDeferred": {P: W},
    # Users complete or fail tasks without a worker.
    "TaskCompleted": {R: C, P: C},
    "TaskFailed": {R: F, P: F, W: F},
    "TaskCancelled": {R: X, P: X, W: X},
}
# Statuses in which a task can be deleted.
DELETABLE = frozenset({W, P, R, C, F, X})


def move(status: Status, fact: str) -> Status:
    """Return the status after a fact; raise IllegalMove if the table does not have the move."""
    try:
        return MOVES[fact][status]
    except KeyError:
        raise IllegalMove(f"{fact} is not possible while {status}") from None


def after(fact: str) -> Status | None:
    """Return the status after a fact, which is the same from all statuses; None where it changes none."""
    targets = set(MOVES.get(fact, {}).values())
    return targets.pop() if len(targets) == 1 else None
