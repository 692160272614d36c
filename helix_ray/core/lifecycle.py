"""The law of task statuses: one table, and nothing else may change a status.

A task is *waiting* while a task it depends on is unfinished, *pending* while it waits for a worker,
*running* while an attempt of it is leased to a worker (or taken by a person), and then ends once:
*completed*, *failed* or *cancelled*. The last three are terminal. Two facts lead out of an end, both asked
for by a person: TaskRequeued after a failure or a cancel (`POST /tasks/{id}/retry`), and TaskDeleted.

Every assignment is an attempt with its own fencing number. A fact about an attempt names the number; decide
refuses a report whose number is not the current one, so the table never has to know about numbers.

A fact that the table does not list raises IllegalMove and moves nothing: decide must not have emitted it.
docs/state_machine.md is drawn from this table.
"""

from __future__ import annotations

from enum import StrEnum

from helix_ray.core.errors import IllegalMove


class Status(StrEnum):
    """Where a task stands."""

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
    # The tasks it depends on are done, or its retry delay is over.
    "TaskReleased": {W: P, P: P},
    # A worker holds a new attempt.
    "TaskAssigned": {P: R},
    "TaskProgressed": {R: R},
    "TaskOutlasted": {R: R},
    "TaskEdited": {W: W, P: P, R: R},
    # Back to the queue: a retry after a failure, a lost worker, work handed back unstarted, a person's retry.
    "TaskRequeued": {R: P, F: P, X: P},
    # Queued again together with tasks that it depends on.
    "TaskDeferred": {P: W},
    # People complete or fail tasks that no worker ran.
    "TaskCompleted": {R: C, P: C},
    "TaskFailed": {R: F, P: F, W: F},
    "TaskCancelled": {R: X, P: X, W: X},
}
# Statuses that TaskDeleted leads out of, to nowhere.
DELETABLE = frozenset({W, P, R, C, F, X})


def move(status: Status, fact: str) -> Status:
    """Return the status after a fact; raise IllegalMove if the table does not have the move."""
    try:
        return MOVES[fact][status]
    except KeyError:
        raise IllegalMove(f"{fact} is not possible while {status}") from None


def after(fact: str) -> Status | None:
    """Return the status that a fact leads to from wherever it is possible; None where it moves nothing."""
    targets = set(MOVES.get(fact, {}).values())
    return targets.pop() if len(targets) == 1 else None
