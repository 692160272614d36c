"""What the facts say of tasks between submit and end: who holds them and how far they are.

It mirrors core/evolve.py for the fields that a finished task shows. Only tasks that were assigned
or requeued and are not finished have an entry, so memory is bounded by work under way, not by the queue or the past.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from typing import Any, NamedTuple

from helix_ray.core import events as ev
from helix_ray.core.lifecycle import Status


@dataclass(slots=True)
class Attempt:
    """The present attempt of an unfinished task, and what it carries from those before."""

    attempt: int = 0
    worker: str | None = None
    started_at: float | None = None
    failures: int = 0
    losses: int = 0
    preemptions: int = 0
    progress: float = 0.0
    note: str | None = None
    not_before: float = 0.0


class Ending(NamedTuple):
    """A task's last attempt and how it ended."""

    fact: ev.Fact
    status: Status
    last: Attempt
    duration_s: float | None
    result: Any
    error: dict[str, Any] | None


_UNTOUCHED = Attempt()


class Attempts:
    """Folds facts of tasks; `fold` returns an Ending for those that end one."""

    def __init__(self) -> None:
        self._open: dict[str, Attempt] = {}

    def __len__(self) -> int:
        return len(self._open)

    def fold(self, fact: ev.Fact) -> Ending | None:
        """Take a fact in; facts of other kinds change nothing."""
        apply = _APPLY.get(type(fact.event))
        return apply(self._open, fact, fact.event) if apply is not None else None

    def dump(self) -> dict[str, Any]:
        """Return the entries as JSON values."""
        return {task_id: asdict(entry) for task_id, entry in self._open.items()}

    @classmethod
    def load(cls, body: dict[str, Any]) -> Attempts:
        """Build what dump described."""
        made = cls()
        made._open = {task_id: Attempt(**entry) for task_id, entry in body.items()}
        return made


_Open = dict[str, Attempt]


def _assigned(open_: _Open, fact: ev.Fact, event: ev.TaskAssigned) -> None:
    entry = open_.get(event.id)
    if entry is None:
        open_[event.id] = Attempt(event.attempt, event.worker, fact.at)
        return
    entry.attempt, entry.worker, entry.started_at = event.attempt, event.worker, fact.at
    entry.progress, entry.note = 0.0, None


def _progressed(open_: _Open, fact: ev.Fact, event: ev.TaskProgressed) -> None:
    entry = open_[event.id]
    entry.progress = event.progress
    if event.note is not None:
        entry.note = event.note


def _requeued(open_: _Open, fact: ev.Fact, event: ev.TaskRequeued) -> None:
    entry = open_.get(event.id)
    if entry is None:
        # A person queued it again after its end.
        entry = open_[event.id] = Attempt(event.attempt)
    if event.cause == "retry":
        entry.failures += 1
    elif event.cause == "lost":
        entry.losses += 1
    elif event.cause == "preempted":
        entry.preemptions += 1
    elif event.cause == "manual":
        entry.failures = entry.losses = entry.preemptions = 0
    entry.worker = entry.started_at = entry.note = None
    entry.progress, entry.not_before = 0.0, event.not_before


def _completed(open_: _Open, fact: ev.Fact, event: ev.TaskCompleted) -> Ending:
    last = open_.pop(event.id, None)
    last = replace(_UNTOUCHED) if last is None else last
    last.progress = 100.0
    return Ending(fact, Status.COMPLETED, last, event.duration_s, event.result, None)


def _failed(open_: _Open, fact: ev.Fact, event: ev.TaskFailed) -> Ending:
    last = open_.pop(event.id, _UNTOUCHED)
    return Ending(fact, Status.FAILED, last, event.duration_s, event.result, event.error)


def _cancelled(open_: _Open, fact: ev.Fact, event: ev.TaskCancelled) -> Ending:
    last = open_.pop(event.id, _UNTOUCHED)
    error = {"reason": "cancelled", "message": event.reason}
    return Ending(fact, Status.CANCELLED, last, None, None, error)


def _deleted(open_: _Open, fact: ev.Fact, event: ev.TaskDeleted) -> None:
    open_.pop(event.id, None)


_APPLY: dict[type[Any], Callable[[_Open, ev.Fact, Any], Ending | None]] = {
    ev.TaskAssigned: _assigned,
    ev.TaskProgressed: _progressed,
    ev.TaskRequeued: _requeued,
    ev.TaskCompleted: _completed,
    ev.TaskFailed: _failed,
    ev.TaskCancelled: _cancelled,
    ev.TaskDeleted: _deleted,
}
