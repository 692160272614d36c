"""Who sees what, and who may change it: the one rule, for memory and history, caches and feeds.

    a task                       its owner; whose external worker runs it, or ran it when it ended; who sees all tasks
    a project                    its members; who sees all tasks
    a worker                     its owner; who may list workers
    a user, session, API token   the user; administrators

Administrators and viewers see all tasks, and so does the system. An API token that is bound to projects sees
these, and tasks of these, whoever its owner is. What somebody does not see does not exist for them.

Which tasks somebody sees is a value (TaskScope), so that a table can be asked for them as well as memory.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from helix_ray.core.access import Principal, in_scope, may
from helix_ray.core.questions import ListWorkers
from helix_ray.core.state import ApiToken, Project, Session, Task, User, Worker, project_of


class TaskRecord(NamedTuple):
    """What the rule looks at of a task. `holder` is the user whose external worker runs it, or
    ran it when it ended."""

    owner: str
    holder: str | None
    project: str | None


class TaskScope(NamedTuple):
    """The tasks that somebody sees: those of `user` (None: of everybody) in `projects` (None:
    in all, and in none)."""

    user: str | None
    projects: tuple[str, ...] | None

    def has(self, owner: str, holder: str | None, project: str | None) -> bool:
        """Say whether a task is among them."""
        if self.user is not None and self.user not in (owner, holder):
            return False
        return self.projects is None or project in self.projects


EVERY_TASK = TaskScope(None, None)

Thing = TaskRecord | Project | Worker | User | Session | ApiToken


def task_scope(by: Principal) -> TaskScope:
    """Return which tasks somebody sees."""
    if sees_all_tasks(by):
        return EVERY_TASK if by.projects is None else TaskScope(None, by.projects)
    return TaskScope(by.id, by.projects)


def sees(by: Principal, thing: Thing) -> bool:
    """Say whether a thing exists for somebody."""
    if isinstance(thing, TaskRecord):
        return task_scope(by).has(*thing)
    if isinstance(thing, Project):
        return in_scope(by, thing.id) and (by.id in thing.members or sees_all_tasks(by))
    if isinstance(thing, Worker):
        return thing.owner == by.id or may(by, ListWorkers)
    return administers(by) or by.id == (thing.id if isinstance(thing, User) else thing.user_id)


def changes(by: Principal, task: TaskRecord) -> bool:
    """Say whether somebody may change a task that they see: its owner, and who administers."""
    return task.owner == by.id or administers(by)


def record_of(task: Task) -> TaskRecord:
    """Return what the rule looks at of a task in memory."""
    return TaskRecord(task.owner, task.holder, project_of(task))


def record_of_view(view: Mapping[str, Any]) -> TaskRecord:
    """Return what the rule looks at of a task, or of its result, as core/views.py shows it."""
    return TaskRecord(view["owner"], view["holder"], view["project_id"])


def sees_all_tasks(by: Principal) -> bool:
    """Say whether somebody sees tasks of others by their role."""
    return not {"system", "admin", "viewer"}.isdisjoint(by.roles)


def administers(by: Principal) -> bool:
    """Say whether somebody may see all users, and change what belongs to others."""
    return not {"system", "admin"}.isdisjoint(by.roles)
