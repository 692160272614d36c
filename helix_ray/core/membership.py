"""Who may use a project: the rule for submit, edit, retry and distribute, by the current state.

A task counts against its project's quota and fair share, else against its owner's. A user who could name any
project could fill the queue of others, or evade their own limits.

    no project, or one's own user id     always, it is one's own
    another user's id                    never, also after they were removed
    a defined project                    its members
    the id of a removed project that     nobody: what is left there was not for everybody
    had models or data sets
    another undefined id                 everybody while no project exists at all, otherwise nobody
    that of the task whose code asks     always: whoever may run there may go on there

Administrators and the system may use all of them. The refusal does not tell whether a project exists.
"""

from __future__ import annotations

from helix_ray.core.access import PUBLISHERS, USER_PREFIX, Principal, in_scope
from helix_ray.core.datasets import DataSet
from helix_ray.core.errors import Rejected, forbidden
from helix_ray.core.models import ModelRecord
from helix_ray.core.state import State
from helix_ray.core.visibility import administers, sees_all_tasks


def refuse_use(state: State, by: Principal, project_id: str | None) -> Rejected | None:
    """Return why a principal may not use a project; None when they may."""
    if project_id is None or project_id == by.id or administers(by):
        return None
    if by.capability is not None and project_id in (by.projects or ()):
        return None
    project = state.projects.get(project_id)
    allowed = is_open(state, project_id) if project is None else by.id in project.members
    if allowed:
        return None
    return forbidden("You are not a member of this project", field="project_id", project_id=project_id)


def is_open(state: State, project_id: str) -> bool:
    """Say whether everybody may use an id of which no project is defined."""
    if state.projects or project_id in state.closed_projects:
        return False
    return project_id not in state.users and not project_id.startswith(USER_PREFIX)


def refuse_use_within(state: State, by: Principal, project_id: str | None) -> Rejected | None:
    """Return why a principal may not have something of theirs in a project: it is outside the scope of their
    token, or not theirs to use."""
    if not in_scope(by, project_id):
        message = "This token is restricted to certain projects: set project_id to one of them"
        return forbidden(message, field="project_id", projects=list(by.projects or ()))
    return refuse_use(state, by, project_id)


def sees_model(state: State, by: Principal, model: ModelRecord) -> bool:
    """Say whether a model exists for a principal: for its owner, those who may use its project, and those who
    see all tasks; for a token of projects only in these."""
    return not model.deleted and _may_use(state, by, model.owner, model.project)


def seen_uploads(state: State, by: Principal, digest: str) -> tuple[DataSet, ...]:
    """Return the uploads of a file that a principal may know of, by the rule for models; without any of them
    the data set does not exist for the principal."""
    known = state.datasets.get(digest, ())
    return tuple(each for each in known if _may_use(state, by, each.owner, each.project))


def _may_use(state: State, by: Principal, owner: str, project: str | None) -> bool:
    if not in_scope(by, project):
        return False
    if by.id == owner or sees_all_tasks(by):
        return True
    return project is not None and refuse_use(state, by, project) is None


def changes_model(state: State, by: Principal, model: ModelRecord) -> bool:
    """Say whether a principal may change a model that they see: its owner, administrators, and publishers
    of its project may."""
    if by.id == model.owner or administers(by):
        return True
    return (
        model.project is not None
        and not PUBLISHERS.isdisjoint(by.roles)
        and refuse_use(state, by, model.project) is None
    )
