"""Names tasks in answers about other things: who may not see a task reads that there is one, not which."""

from __future__ import annotations

from collections.abc import Iterable

from helix_ray.core.access import Principal
from helix_ray.core.state import State
from helix_ray.core.views.other_tasks import ANOTHER_TASK
from helix_ray.core.visibility import EVERY_TASK, record_of, task_scope


class NamedTasks:
    """The ids of tasks, as a reader may see them."""

    def __init__(self, state: State, by: Principal) -> None:
        self._state = state
        self._scope = task_scope(by)

    def name(self, task_id: str) -> str:
        """Return the id of a task, or ANOTHER_TASK."""
        return task_id if self.visible(task_id) else ANOTHER_TASK

    def names(self, task_ids: Iterable[str]) -> list[str]:
        """Return the same of several, in order: those that have no name come last."""
        return sorted(map(self.name, task_ids), key=lambda name: (name == ANOTHER_TASK, name))

    def visible(self, task_id: str) -> bool:
        """Say whether the reader may see a task; one that has left memory long ago only if they see all."""
        if self._scope == EVERY_TASK:
            return True
        task = self._state.tasks.get(task_id)
        if task is not None:
            return self._scope.has(*record_of(task))
        left = self._state.gone.get(task_id)
        return left is not None and self._scope.has(left.owner, left.holder, left.project)
