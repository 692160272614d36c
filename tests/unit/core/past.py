"""What has left a stage's memory, and orders that bring it as the plane has them bring it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

from helix_ray.core import orders as o
from helix_ray.core.access import SYSTEM, Principal
from helix_ray.core.decide.outcome import Decision
from helix_ray.core.errors import NotInMemory, Rejected
from helix_ray.core.orders import Recalled
from helix_ray.core.state import Task
from tests.unit.core.stage import DEV, Stage


class Past:
    """The records of what has left a stage's memory, as the history has them."""

    def __init__(self, stage: Stage) -> None:
        self.stage = stage
        self.records: dict[str, Task] = {}

    def archive(self, limit: int = 1000) -> None:
        """Let what has ended leave memory, the oldest ends first."""
        ended = {i: self.stage.task(i) for i in self.stage.state.finished}
        self.stage.give(o.ArchiveTasks(self.stage.state.seq, self.stage.now, limit), SYSTEM)
        self.records |= {
            i: replace(task, result=None) for i, task in ended.items() if i not in self.stage.state.tasks
        }

    def recall(self, task_ids: Iterable[str], causes: Iterable[str] = (), **more: Any) -> Recalled:
        """Return what the history says of tasks, with what failed because of `causes`."""
        tasks: dict[str, Task | None] = {i: self.records.get(i) for i in task_ids}
        searched = list(causes)
        for cause in searched:
            for task in self.records.values():
                if (task.error or {}).get("dependency") == cause and task.id not in searched:
                    tasks[task.id] = task
                    searched.append(task.id)
        return Recalled(self.stage.state.seq, tasks, frozenset(searched), **more)

    def decide(
        self, body: o.OrderBody, by: Principal = DEV, recalled: Recalled | None = None
    ) -> Decision | Rejected:
        """Give an order as the plane does: again, with what it lacks."""
        for _ in range(4):
            decided = self.stage.decide(body, by, recalled=recalled)
            if not isinstance(decided, NotInMemory):
                assert isinstance(decided, (Decision, Rejected))
                return decided
            recalled = self.recall(decided.task_ids, decided.causes)
        raise AssertionError("it is never satisfied")

    def give(self, body: o.OrderBody, by: Principal = DEV) -> dict[str, Any]:
        """Carry an order out."""
        decided = self.decide(body, by)
        assert isinstance(decided, Decision), decided
        for event in decided.events:
            self.stage.fold(event, by)
        assert self.stage.sound()
        return decided.data
