"""Folds facts about tasks between submit and end: their workers and their progress.

core/execution.py defines how a fact changes a task's record. Only unfinished tasks that were assigned or
queued again have a record here, so memory is bounded by the work under way, not by the queue or the past.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from helix_ray.core import events as ev
from helix_ray.core.execution import EXECUTION_FACTS, Execution, fold, lease_to, lose_holder, packed, unpack

_BEGINS = (ev.TaskAssigned, ev.TaskRequeued, ev.TaskRestored)
_ENDS = (ev.TaskCompleted, ev.TaskFailed, ev.TaskCancelled)
_LETS_GO = (ev.TaskRequeued, *_ENDS)


@dataclass(slots=True)
class _External:
    """External workers: owner and boot, and the tasks that each of them runs."""

    known: dict[str, tuple[str, str]] = field(default_factory=dict)
    held: dict[str, set[str]] = field(default_factory=dict)


class Attempts:
    """Folds facts about tasks; `fold` returns the execution that a fact ends."""

    def __init__(self) -> None:
        self._tasks: dict[str, Execution] = {}
        self._workers = _External()

    def __len__(self) -> int:
        return len(self._tasks)

    def fold(self, fact: ev.Fact) -> Execution | None:
        """Fold a fact; facts of other kinds change nothing."""
        event = fact.event
        kind = type(event)
        if kind in EXECUTION_FACTS:
            return self._fold_task(fact, ev.subject_of(event))
        if isinstance(event, ev.TaskDeleted):
            self._let_go(event.id, self._tasks.pop(event.id, None))
        elif kind in _WORKERS:
            _WORKERS[kind](self, event)
        return None

    def _fold_task(self, fact: ev.Fact, task_id: str) -> Execution | None:
        event = fact.event
        execution = self._tasks.get(task_id)
        if execution is None:
            if isinstance(event, _BEGINS):
                execution = self._tasks[task_id] = Execution()
            elif isinstance(event, _ENDS):
                execution = Execution()
            else:
                return None
        if isinstance(event, _LETS_GO):
            self._let_go(task_id, execution)
        fold(execution, fact)
        if isinstance(event, ev.TaskAssigned):
            self._hold(task_id, execution)
        if isinstance(event, _ENDS):
            self._tasks.pop(task_id, None)
            return execution
        return None

    def _hold(self, task_id: str, execution: Execution) -> None:
        """Record the external worker that runs a task."""
        worker_id = execution.worker or ""
        known = self._workers.known.get(worker_id)
        if known is not None:
            lease_to(execution, known[0])
            self._workers.held.setdefault(worker_id, set()).add(task_id)

    def _let_go(self, task_id: str, execution: Execution | None) -> None:
        if execution is not None and execution.worker in self._workers.held:
            self._workers.held[execution.worker].discard(task_id)

    def _lose(self, worker_id: str) -> None:
        """Record that a worker has lost all its tasks."""
        for task_id in self._workers.held.pop(worker_id, ()):
            lose_holder(self._tasks[task_id])

    def _registered(self, event: ev.WorkerRegistered) -> None:
        if event.kind != "external":
            return
        known = self._workers.known.get(event.id)
        if known is not None and known[1] != event.boot:
            self._lose(event.id)
        self._workers.known[event.id] = (event.owner, event.boot)

    def _worker_lost(self, event: ev.WorkerLost) -> None:
        self._lose(event.id)

    def _worker_removed(self, event: ev.WorkerRetired) -> None:
        self._lose(event.id)
        self._workers.known.pop(event.id, None)

    def dump(self) -> dict[str, Any]:
        """Return the records as JSON values."""
        return {
            "tasks": {task_id: packed(execution) for task_id, execution in self._tasks.items()},
            "external": {name: list(known) for name, known in self._workers.known.items()},
        }

    @classmethod
    def load(cls, body: dict[str, Any]) -> Attempts:
        """Build it from the values of dump."""
        made = cls()
        for task_id, values in body.get("tasks", {}).items():
            unpack(values)
            execution = made._tasks[task_id] = Execution(**values)
            if execution.holder is not None and execution.worker is not None:
                made._workers.held.setdefault(execution.worker, set()).add(task_id)
        made._workers.known = {
            name: (owner, boot) for name, (owner, boot) in body.get("external", {}).items()
        }
        return made


_WORKERS: dict[type[Any], Callable[[Attempts, Any], None]] = {
    ev.WorkerRegistered: Attempts._registered,
    ev.WorkerLost: Attempts._worker_lost,
    ev.WorkerRetired: Attempts._worker_removed,
}
