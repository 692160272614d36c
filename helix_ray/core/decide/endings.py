"""Decides every ending of a task, and its effects on other tasks.

A completed task releases dependents that wait for nothing else; a completed shard passes its result to the
parent, and the last one completes the parent. A task that will not complete (failed, cancelled, deleted)
fails all its dependents, directly or not; a parent ends together with its shards, and a failed shard fails
its parent. So no task waits for one that has ended, whatever ended it: a report, a user, a deadline, a lost
worker, or the ending of another task.

An order propagates endings to up to `spread_tasks_max` tasks; a task counts with its shards, which end with
it. With more, what is left shows in `state.freed` and `state.doomed`, and the order SpreadEndings goes on
from there, in commits of its own: also after a restart, because both follow from the tasks.

Each order has one `Endings`, which knows which tasks the order has ended already, so a task ends once even
if the order has several causes for it. Only `_end` makes the fact of an ending, and only `_spread` goes
from one ending to the next.
"""

from __future__ import annotations

from collections import deque
from itertools import islice
from typing import Any, NamedTuple

from helix_ray.core.decide.shards import gathered
from helix_ray.core.events import (
    Event,
    TaskCancelled,
    TaskCompleted,
    TaskDeleted,
    TaskFailed,
    TaskProgressed,
    TaskReleased,
)
from helix_ray.core.families import parent_of, shards_of
from helix_ray.core.lifecycle import TERMINAL
from helix_ray.core.specs import JsonObject, TaskError
from helix_ray.core.state import State, Task
from helix_ray.core.weight import LINKS_PER_TASK, tasks_of

Ending = TaskCompleted | TaskFailed | TaskCancelled | TaskDeleted
PARENT_FAILED = "its parent task failed"
# The maximum progress of a parent while a shard is unfinished.
UNFINISHED_PERCENT_MAX = 99.0


class _Owed(NamedTuple):
    """A task that will not complete, and the error for its shards and dependents."""

    task: Task
    # The reason in the error of a dependent: how the first task of the chain ended.
    reason: str
    to_shards: str


class Endings:
    """Collects the facts of one order that ends tasks, in `events`; other facts may be added to them.

    `tasks_max` limits to how many tasks endings of others are propagated.
    """

    def __init__(self, state: State, now: float, tasks_max: int) -> None:
        self.events: list[Event] = []
        self._state = state
        self._now = now
        self._ended: set[str] = set()
        self._completed: set[str] = set()
        self._released: set[str] = set()
        # Results of shards that this order completes, by parent and index.
        self._results: dict[str, JsonObject] = {}
        self._owed: deque[_Owed] = deque()
        self._left = tasks_max

    def spend(self, tasks: int) -> bool:
        """Count tasks that this order processes for other reasons; False when its limit is reached."""
        if tasks and self._left <= 0:
            return False
        self._left -= tasks
        return True

    def over(self, task: Task) -> bool:
        """Say whether a task has ended, before this order or because of it."""
        return task.id in self._ended or task.status in TERMINAL

    def complete(self, task: Task, result: Any = None, duration_s: float | None = None) -> None:
        """Complete a task; with its last shard, the parent."""
        self._end(task, TaskCompleted(task.id, task.attempt, result, duration_s))
        if "shard" in task.spec:
            self._hand_in(task, result)

    def fail(self, task: Task, error: TaskError, result: Any = None, duration_s: float | None = None) -> None:
        """Fail a task for good; a shard fails its parent."""
        owed = _Owed(task, "dependency_failed", PARENT_FAILED)
        self._end(task, TaskFailed(task.id, task.attempt, error, result, duration_s), owed)
        parent = parent_of(self._state, task)
        if parent is not None and not self.over(parent):
            index = task.spec["shard"]["index"]
            message = f"shard {index} failed: {error.get('message', '')}"
            of_parent: TaskError = {
                "reason": "shard_failed",
                "message": message,
                "shard": task.id,
                "cause": error,
            }
            self._end(parent, TaskFailed(parent.id, parent.attempt, of_parent), owed._replace(task=parent))
        self._spread()

    def cancel(self, task: Task, reason: str) -> None:
        """Cancel a task, and its shards for the same reason."""
        self._end(
            task, TaskCancelled(task.id, task.attempt, reason), _Owed(task, "dependency_cancelled", reason)
        )
        self._spread()

    def delete(self, task: Task) -> None:
        """Delete a task and its shards, whether they had ended or not."""
        for each in (*shards_of(self._state, task), task):
            self._end(each, TaskDeleted(each.id), _Owed(each, "dependency_deleted", ""))
        self._spread()

    def carry_on(self) -> None:
        """Propagate the endings that earlier orders have left over."""
        for task_id in islice(self._state.freed, max(0, self._left)):
            self._released.add(task_id)
            self.events.append(TaskReleased(task_id))
        self._left -= len(self._released)
        for cause, reason in self._state.doomed.items():
            if self._left <= 0:
                break
            self._fail_dependents(cause, reason)
        self._spread()

    def _end(self, task: Task, fact: Ending, owed: _Owed | None = None) -> None:
        self._ended.add(task.id)
        self.events.append(fact)
        if owed is not None:
            self._owed.append(owed)
        else:
            self._completed.add(task.id)
            self._release(task.id)

    def _release(self, task_id: str) -> None:
        """Queue the tasks that wait only for this one."""
        for other_id in self._state.dependents.get(task_id, ()):
            if self._left <= 0:
                break
            if other_id in self._ended or other_id in self._released:
                continue
            if self._completed.issuperset(self._state.tasks[other_id].waits_for):
                self._released.add(other_id)
                self._left -= 1
                self.events.append(TaskReleased(other_id))

    def moves(self, parent: Task) -> bool:
        """Say whether the order ends a parent, or a shard of it."""
        return parent.id in self._results or self.over(parent)

    def _hand_in(self, shard: Task, result: Any) -> None:
        """Pass a completed shard to its parent: progress, or the parent's completion."""
        parent = parent_of(self._state, shard)
        if parent is None or self.over(parent):
            return
        results = self._results.setdefault(parent.id, {})
        results[str(shard.spec["shard"]["index"])] = result
        count = parent.spec["shards"]["count"]
        done = len(parent.shard_results) + len(results)
        if done >= count:
            duration = self._now - parent.started_at if parent.started_at is not None else None
            result = gathered({**parent.shard_results, **results}, count)
            self._end(parent, TaskCompleted(parent.id, parent.attempt, result, duration))
            return
        percent = min(100.0 * done / count, UNFINISHED_PERCENT_MAX)
        if percent > parent.progress:
            self.events.append(TaskProgressed(parent.id, parent.attempt, percent))

    def _spread(self) -> None:
        """Fail the dependents of tasks that will not complete, until none is left or the limit is reached.

        Facts come in the order in which the causes ended, the nearest first. Shards end with
        their parent in any case.
        """
        while self._owed:
            owed = self._owed.popleft()
            for shard in shards_of(self._state, owed.task):
                if not self.over(shard):
                    fact = TaskCancelled(shard.id, shard.attempt, owed.to_shards)
                    self._end(shard, fact, owed._replace(task=shard))
            self._fail_dependents(owed.task.id, owed.reason)

    def _fail_dependents(self, cause: str, reason: str) -> None:
        for other_id in self._state.dependents.get(cause, ()):
            if self._left <= 0:
                break
            self._fail_dependent(self._state.tasks[other_id], cause, reason)

    def _fail_dependent(self, task: Task, cause: str, reason: str) -> None:
        parent = parent_of(self._state, task)
        if parent is not None and parent.status not in TERMINAL:
            # A parent has the dependencies of its shards, and ends together with them.
            task = parent
        if self.over(task):
            return
        self._left -= tasks_of(task.spec) + len(task.waits_for) // LINKS_PER_TASK
        message = f"it depends on {cause}, which will not complete"
        error: TaskError = {"reason": reason, "message": message, "dependency": cause}
        self._end(task, TaskFailed(task.id, task.attempt, error), _Owed(task, reason, PARENT_FAILED))
