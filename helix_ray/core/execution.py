"""The record of a task's execution: its status from submit to end, and its outcome. The only fold of it.

The state (core/evolve/), the history (views/attempts.py) and receipts (core/decide/standing.py) all use it,
so they cannot differ. A new field of facts is added here: to Execution, and to the functions of the facts
that change it. The spec is not part of it: it is given, not folded.

core/lifecycle.py says which status a fact leads to; evolve, which has the whole state, checks
whether a fact is allowed.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields
from typing import Any

from helix_ray.core import events as ev
from helix_ray.core import leases
from helix_ray.core.leases import Lease
from helix_ray.core.lifecycle import TERMINAL, Status, after
from helix_ray.core.specs import TaskError


@dataclass(slots=True, kw_only=True)
class Execution:
    """Status, attempts and outcome of a task. `attempt` is the fencing number of the
    newest attempt (0: none yet).

    Times are epoch seconds. Every field is a column of the history (views/columns.py).
    """

    status: Status = Status.PENDING
    updated_at: float = 0.0
    progress: float = 0.0
    note: str | None = None
    worker: str | None = None
    # The owner of the external worker that runs it, or ran it when it ended; None for a
    # node, or without a worker.
    holder: str | None = None
    attempt: int = 0
    # Since the last manual retry; failures + losses <= attempt.
    failures: int = 0
    losses: int = 0
    preemptions: int = 0
    started_at: float | None = None
    finished_at: float | None = None
    # Seq of the fact that ended it; 0 exactly while it has not ended.
    finished_seq: int = 0
    not_before: float = 0.0
    result: Any = None
    error: TaskError | None = None
    # Leases of external workers, the newest last: a late report gets the reason from its lease.
    leases: tuple[Lease, ...] = ()


def fold(execution: Execution, fact: ev.Fact) -> None:
    """Fold a fact about a task into its record; raises KeyError for a fact that is not
    about a task's execution."""
    status, ends, change = _FOLDS[type(fact.event)]
    execution.updated_at = fact.at
    if status is not None:
        execution.status = status
        if ends:
            execution.finished_at, execution.finished_seq = fact.at, fact.seq
        elif execution.finished_seq:
            execution.finished_at, execution.finished_seq = None, 0
    if change is not None:
        change(execution, fact.event, fact)


def lease_to(execution: Execution, owner: str) -> None:
    """Record that the worker of a newly assigned task is an external one, and its owner."""
    execution.holder = owner
    lease = Lease(execution.attempt, execution.worker or "", owner)
    execution.leases = leases.begin(execution.leases, lease)


def lose_holder(execution: Execution) -> None:
    """Record that the external worker of a task is gone; a fact about the task follows."""
    execution.holder = None


def packed(execution: Execution) -> dict[str, Any]:
    """Return an execution as JSON values by name."""
    made = {name: getattr(execution, name) for name in _FIELDS}
    return {**made, "status": execution.status.value, "leases": [list(lease) for lease in execution.leases]}


def unpack(values: dict[str, Any]) -> None:
    """Convert JSON values by name to Execution's arguments, in place; fields may be missing."""
    if "status" in values:
        values["status"] = Status(values["status"])
    if "leases" in values:
        values["leases"] = tuple(Lease(*lease) for lease in values["leases"])


def _end_lease(execution: Execution, how: str) -> None:
    if execution.leases:
        # Not in place: a snapshot may refer to the old ones.
        execution.leases = leases.end(execution.leases, how)


def _assigned(execution: Execution, event: ev.TaskAssigned, fact: ev.Fact) -> None:
    execution.attempt = event.attempt
    execution.worker = event.worker
    execution.holder = None
    execution.started_at = fact.at
    execution.progress = 0.0
    execution.note = None


def _progressed(execution: Execution, event: ev.TaskProgressed, fact: ev.Fact) -> None:
    execution.progress = event.progress
    if event.note is not None:
        execution.note = event.note


def _requeued(execution: Execution, event: ev.TaskRequeued, fact: ev.Fact) -> None:
    execution.attempt = event.attempt
    if event.leases is not None:
        execution.leases = tuple(Lease(*lease) for lease in event.leases)
    _end_lease(execution, leases.ended_by_requeue(event.cause))
    _count(execution, event.cause)
    execution.error = event.error
    execution.result = None
    execution.worker = execution.holder = execution.started_at = execution.note = None
    execution.progress = 0.0
    execution.not_before = event.not_before


def _count(execution: Execution, cause: str) -> None:
    """Count why a task was queued again (TaskRequeued's `cause`); a manual retry resets the counts."""
    if cause == "retry":
        execution.failures += 1
    elif cause == "lost":
        execution.losses += 1
    elif cause == "preempted":
        execution.preemptions += 1
    elif cause == "manual":
        execution.failures = execution.losses = execution.preemptions = 0


def _restored(execution: Execution, event: ev.TaskRestored, fact: ev.Fact) -> None:
    execution.status = Status(event.status)
    execution.updated_at = execution.finished_at = event.finished_at
    execution.finished_seq = event.finished_seq
    execution.attempt = event.attempt
    execution.leases = tuple(Lease(*lease) for lease in event.leases)


def _completed(execution: Execution, event: ev.TaskCompleted, fact: ev.Fact) -> None:
    _end_lease(execution, leases.REPORTED)
    execution.result = event.result
    execution.error = None
    execution.progress = 100.0


def _failed(execution: Execution, event: ev.TaskFailed, fact: ev.Fact) -> None:
    _end_lease(execution, leases.ended_by_end(Status.FAILED, event.error))
    execution.result = event.result
    execution.error = event.error


def _cancelled(execution: Execution, event: ev.TaskCancelled, fact: ev.Fact) -> None:
    _end_lease(execution, leases.CANCELLED)
    execution.error = {"reason": "cancelled", "message": event.reason}


_FIELDS = tuple(one.name for one in fields(Execution))
_CHANGES: dict[type[Any], Callable[[Execution, Any, ev.Fact], None] | None] = {
    ev.TaskReleased: None,
    ev.TaskDeferred: None,
    ev.TaskEdited: None,
    ev.TaskAssigned: _assigned,
    ev.TaskProgressed: _progressed,
    ev.TaskRequeued: _requeued,
    ev.TaskRestored: _restored,
    ev.TaskCompleted: _completed,
    ev.TaskFailed: _failed,
    ev.TaskCancelled: _cancelled,
}
# The status after a fact, and whether it is final; computed once, since this is the hot path of every task.
_FOLDS = {
    kind: (status := after(kind.__name__), status in TERMINAL, change) for kind, change in _CHANGES.items()
}
EXECUTION_FACTS = frozenset(_FOLDS)
