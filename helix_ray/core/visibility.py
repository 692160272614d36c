"""Visibility: who sees what, and who may change it. The only rule, for memory, history, caches and feeds.

    a task                       its owner; the owner of the external worker that runs it, or ran it when it
                                 ended; those who see all tasks
    a project                    its members; those who see all tasks
    a model                      its owner; those who may use its project; those who see all tasks
                                 (core/membership.py)
    an upload of a data set      its owner; those who may use its project; those who see all tasks
    a worker                     its owner; those who may list workers
    a user, session, API token   the user; administrators
    a webhook                    its owner, with a token that has the roles and projects with which it
                                 hears; administrators
    a device                     the user; administrators; itself, and no other device of the user
    a document, a conflict       the user and their devices

Administrators, operators and viewers see all tasks, and so does the system. Auditors see all tasks without
results and logs, and are told only of their own; one who may read results because of another role sees the
tasks of that role only. An API token that is restricted to projects sees only these and their tasks,
whatever its owner sees. What a principal does not see
does not exist for them.

The set of visible tasks is a value (TaskScope), so that it can filter tables as well as memory.
"""

from __future__ import annotations

from typing import NamedTuple

from helix_ray.core.access import (
    CONTENT_READERS,
    DEVICE,
    OPERATORS,
    USER_PREFIX,
    Principal,
    in_scope,
    may,
    may_give,
)
from helix_ray.core.devices import EnrolledDevice
from helix_ray.core.errors import Rejected, not_found
from helix_ray.core.questions import ListWorkers
from helix_ray.core.state import ApiToken, Project, Session, State, Task, User, Worker, project_of
from helix_ray.core.task_scope import TaskScope as TaskScope
from helix_ray.core.usernames import find_user_id
from helix_ray.core.views.events import NoticeTask
from helix_ray.core.views.tasks import ResultView, TaskView
from helix_ray.core.webhooks import Webhook, roles_now


class TaskRecord(NamedTuple):
    """The fields of a task that the rule needs. `holder` is the owner of the external worker that runs it,
    or ran it when it ended."""

    owner: str
    holder: str | None
    project: str | None


EVERY_TASK = TaskScope(None, None)

Thing = TaskRecord | Project | Worker | User | Session | ApiToken | Webhook | EnrolledDevice


def task_scope(by: Principal) -> TaskScope:
    """Return the scope of the tasks that a principal sees."""
    if sees_all_tasks(by):
        return EVERY_TASK if by.projects is None else TaskScope(None, by.projects)
    return TaskScope(by.id, by.projects)


def scope_of_code(task: Task) -> TaskScope:
    """Return the scope of the tasks that the code of a task sees: it acts for the task's owner, in the task's
    project if it has one."""
    project = project_of(task)
    user = task.owner if task.owner.startswith(USER_PREFIX) else None
    return TaskScope(user, None if project is None else (project,))


def sees(by: Principal, thing: Thing) -> bool:
    """Say whether an object exists for a principal."""
    if isinstance(thing, TaskRecord):
        return task_scope(by).has(*thing)
    if isinstance(thing, Project):
        return in_scope(by, thing.id) and (by.id in thing.members or sees_all_tasks(by))
    if isinstance(thing, EnrolledDevice) and by.roles == (DEVICE,):
        return thing.id == by.token
    if isinstance(thing, Worker):
        return thing.owner == by.id or may(by, ListWorkers)
    if isinstance(thing, Webhook):
        return (administers(by) or by.id == thing.owner) and _hears_only(thing, by.projects)
    return administers(by) or by.id == (thing.id if isinstance(thing, User) else thing.user_id)


def _hears_only(webhook: Webhook, projects: tuple[str, ...] | None) -> bool:
    """Say whether a webhook hears of nothing but these projects: a token of them sees no other."""
    if projects is None:
        return True
    return webhook.projects is not None and set(webhook.projects) <= set(projects)


def sees_webhook(state: State, by: Principal, webhook: Webhook) -> bool:
    """Say whether a webhook exists for a principal. One that hears with roles which an API token of its owner
    does not have exists for no such token: who changes its address, or reads its deliveries, hears as it
    does."""
    if administers(by) or not sees(by, webhook):
        return sees(by, webhook)
    owner = state.users.get(webhook.owner)
    return owner is not None and all(may_give(by.roles, role) for role in roles_now(webhook, owner.roles))


def user_named(state: State, name: str | None, by: Principal) -> User | Rejected:
    """Return the user with a name, by default the caller; one whom the caller may not see does not exist."""
    user = state.users.get((by.id if name is None else find_user_id(state, name)) or "")
    return user if user is not None and sees(by, user) else not_found("User", name or by.id)


def sees_names(by: Principal, owner: str) -> bool:
    """Say whether a principal may read the ids of all tasks that a task of `owner` names: it could name only
    what its owner sees. A token that is restricted to projects, and who runs a task of another owner, see
    less."""
    return by.projects is None and (by.id == owner or sees_all_tasks(by))


def changes(by: Principal, task: TaskRecord) -> bool:
    """Say whether a principal may change a task that they see: its owner and administrators may."""
    return task.owner == by.id or administers(by)


def operates(by: Principal, task: TaskRecord) -> bool:
    """Say whether a principal may cancel a task that they see, and change its priority."""
    return changes(by, task) or not OPERATORS.isdisjoint(by.roles)


def record_of(task: Task) -> TaskRecord:
    """Return the fields that the rule needs, of a task in memory."""
    return TaskRecord(task.owner, task.holder, project_of(task))


def record_of_view(view: TaskView | ResultView | NoticeTask) -> TaskRecord:
    """Return the fields that the rule needs, from the view of a task or its result."""
    return TaskRecord(view["owner"], view["holder"], view["project_id"])


def sees_all_tasks(by: Principal) -> bool:
    """Say whether a principal sees all tasks because of their role."""
    return reads_all_tasks(by) or ("auditor" in by.roles and CONTENT_READERS.isdisjoint(by.roles))


def reads_all_tasks(by: Principal) -> bool:
    """Say whether a principal sees all tasks with what they contain: their results, logs and events."""
    return not {"system", "admin", "operator", "viewer"}.isdisjoint(by.roles)


def administers(by: Principal) -> bool:
    """Say whether a principal may see all users, and change objects of others."""
    return not {"system", "admin"}.isdisjoint(by.roles)
