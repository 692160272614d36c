"""What the facts say of tasks between submit and end: who holds them and how far they are.

It mirrors core/evolve/ for the fields that a finished task shows, and for who may see it. Only tasks that were assigned
or requeued and are not finished have an entry, so memory is bounded by work under way, not by the queue or the past.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass, field, replace
from typing import Any, NamedTuple

from helix_ray.core import events as ev
from helix_ray.core import leases
from helix_ray.core.leases import Lease
from helix_ray.core.lifecycle import Status
from helix_ray.core.retry import count_requeue


@dataclass(slots=True)
class Attempt:
    """The present attempt of an unfinished task, and what it carries from those before."""

    attempt: int = 0
    worker: str | None = None
    # Whose external worker that is; see core/state.py.
    holder: str | None = None
    started_at: float | None = None
    failures: int = 0
    losses: int = 0
    preemptions: int = 0
    progress: float = 0.0
    note: str | None = None
    not_before: float = 0.0
    leases: list[Lease] = field(default_factory=list)


class Ending(NamedTuple):
    """A task's last attempt and how it ended."""

    fact: ev.Fact
    status: Status
    last: Attempt
    duration_s: float | None
    result: Any
    error: dict[str, Any] | None


_UNTOUCHED = Attempt()


@dataclass(slots=True)
class _Open:
    """Tasks with an entry; owner and boot of external workers, and which of these tasks each of them holds."""

    tasks: dict[str, Attempt] = field(default_factory=dict)
    external: dict[str, tuple[str, str]] = field(default_factory=dict)
    held: dict[str, set[str]] = field(default_factory=dict)

    def hold(self, task_id: str, entry: Attempt) -> None:
        """Note whose a task is while it runs at an external worker."""
        known = self.external.get(entry.worker or "")
        entry.holder = None if known is None else known[0]
        if known is not None:
            entry.leases = leases.begin(entry.leases, Lease(entry.attempt, entry.worker or "", known[0]))
        if entry.worker is not None and known is not None:
            self.held.setdefault(entry.worker, set()).add(task_id)

    def let_go(self, task_id: str) -> Attempt | None:
        """Take an entry out, if there is one."""
        entry = self.tasks.pop(task_id, None)
        if entry is not None and entry.worker in self.held:
            self.held[entry.worker].discard(task_id)
        return entry

    def lose(self, worker_id: str) -> None:
        """Note that a worker holds none of its tasks any more."""
        for task_id in self.held.pop(worker_id, ()):
            self.tasks[task_id].holder = None


class Attempts:
    """Folds facts of tasks; `fold` returns an Ending for those that end one."""

    def __init__(self) -> None:
        self._open = _Open()

    def __len__(self) -> int:
        return len(self._open.tasks)

    def fold(self, fact: ev.Fact) -> Ending | None:
        """Take a fact in; facts of other kinds change nothing."""
        apply = _APPLY.get(type(fact.event))
        return apply(self._open, fact, fact.event) if apply is not None else None

    def dump(self) -> dict[str, Any]:
        """Return the entries as JSON values."""
        tasks = {
            task_id: {**asdict(entry), "leases": [list(lease) for lease in entry.leases]}
            for task_id, entry in self._open.tasks.items()
        }
        return {
            "tasks": tasks,
            "external": {name: list(known) for name, known in self._open.external.items()},
        }

    @classmethod
    def load(cls, body: dict[str, Any]) -> Attempts:
        """Build what dump described."""
        made = cls()
        for task_id, entry in body.get("tasks", {}).items():
            known_leases = [Lease(*lease) for lease in entry.pop("leases")]
            made._open.tasks[task_id] = Attempt(**entry, leases=known_leases)
        made._open.external = {
            name: (owner, boot) for name, (owner, boot) in body.get("external", {}).items()
        }
        for task_id, attempt in made._open.tasks.items():
            if attempt.holder is not None and attempt.worker is not None:
                made._open.held.setdefault(attempt.worker, set()).add(task_id)
        return made


def _assigned(open_: _Open, fact: ev.Fact, event: ev.TaskAssigned) -> None:
    entry = open_.tasks.get(event.id)
    if entry is None:
        entry = open_.tasks[event.id] = Attempt()
    entry.attempt, entry.worker, entry.started_at = event.attempt, event.worker, fact.at
    entry.progress, entry.note = 0.0, None
    open_.hold(event.id, entry)


def _progressed(open_: _Open, fact: ev.Fact, event: ev.TaskProgressed) -> None:
    entry = open_.tasks[event.id]
    entry.progress = event.progress
    if event.note is not None:
        entry.note = event.note


def _requeued(open_: _Open, fact: ev.Fact, event: ev.TaskRequeued) -> None:
    entry = open_.tasks.get(event.id)
    if entry is None:
        # A person queued it again after its end.
        known = [Lease(*lease) for lease in event.leases or ()]
        entry = open_.tasks[event.id] = Attempt(event.attempt, leases=known)
    count_requeue(entry, event.cause)
    if entry.worker in open_.held:
        open_.held[entry.worker].discard(event.id)
    entry.leases = leases.end(entry.leases, leases.ended_by_requeue(event.cause))
    entry.worker = entry.holder = entry.started_at = entry.note = None
    entry.progress, entry.not_before = 0.0, event.not_before


def _completed(open_: _Open, fact: ev.Fact, event: ev.TaskCompleted) -> Ending:
    last = open_.let_go(event.id)
    last = replace(_UNTOUCHED) if last is None else last
    last.progress = 100.0
    last.leases = leases.end(last.leases, leases.REPORTED)
    return Ending(fact, Status.COMPLETED, last, event.duration_s, event.result, None)


def _ended(last: Attempt, how: str) -> Attempt:
    return replace(last, leases=leases.end(last.leases, how)) if last.leases else last


def _restored(open_: _Open, fact: ev.Fact, event: ev.TaskRestored) -> None:
    """It comes back from the tables, and brings what they alone had."""
    known = [Lease(*lease) for lease in event.leases]
    open_.tasks[event.id] = Attempt(event.attempt, leases=known)


def _failed(open_: _Open, fact: ev.Fact, event: ev.TaskFailed) -> Ending:
    last = open_.let_go(event.id) or _UNTOUCHED
    last = _ended(last, leases.ended_by_end(Status.FAILED, event.error))
    return Ending(fact, Status.FAILED, last, event.duration_s, event.result, event.error)


def _cancelled(open_: _Open, fact: ev.Fact, event: ev.TaskCancelled) -> Ending:
    last = _ended(open_.let_go(event.id) or _UNTOUCHED, leases.CANCELLED)
    error = {"reason": "cancelled", "message": event.reason}
    return Ending(fact, Status.CANCELLED, last, None, None, error)


def _deleted(open_: _Open, fact: ev.Fact, event: ev.TaskDeleted) -> None:
    open_.let_go(event.id)


def _registered(open_: _Open, fact: ev.Fact, event: ev.WorkerRegistered) -> None:
    known = open_.external.get(event.id)
    if event.kind != "external":
        return
    if known is not None and known[1] != event.boot:
        open_.lose(event.id)
    open_.external[event.id] = (event.owner, event.boot)


def _worker_lost(open_: _Open, fact: ev.Fact, event: ev.WorkerLost) -> None:
    open_.lose(event.id)


def _worker_retired(open_: _Open, fact: ev.Fact, event: ev.WorkerRetired) -> None:
    open_.lose(event.id)
    open_.external.pop(event.id, None)


_APPLY: dict[type[Any], Callable[[_Open, ev.Fact, Any], Ending | None]] = {
    ev.TaskAssigned: _assigned,
    ev.TaskProgressed: _progressed,
    ev.TaskRequeued: _requeued,
    ev.TaskRestored: _restored,
    ev.TaskCompleted: _completed,
    ev.TaskFailed: _failed,
    ev.TaskCancelled: _cancelled,
    ev.TaskDeleted: _deleted,
    ev.WorkerRegistered: _registered,
    ev.WorkerLost: _worker_lost,
    ev.WorkerRetired: _worker_retired,
}
