"""Orders about projects and their members; who may use a project is core/membership.py."""

from __future__ import annotations

import re

from helix_ray.core.access import USER_PREFIX
from helix_ray.core.decide.outcome import Context, Decider, Decision
from helix_ray.core.display_names import refuse_display_name
from helix_ray.core.errors import Rejected, conflict, invalid, not_found
from helix_ray.core.events import MemberAdded, MemberRemoved, ProjectRemoved, ProjectSet
from helix_ray.core.orders import AddMember, ChangeProject, CreateProject, RemoveMember, RemoveProject
from helix_ray.core.orders.kind import IdData
from helix_ray.core.spec_shape import PROJECT_ID_CHARS_MAX
from helix_ray.core.state import Project
from helix_ray.core.usernames import find_user_id

PROJECT_ID_PATTERN = r"^[A-Za-z0-9][A-Za-z0-9._-]*$"
PROJECT_NAME_CHARS_MAX = 200
MEMBERS_MAX = 1_000
PROJECTS_MAX = 10_000
# A user's id is also the id of their own project.
RESERVED = USER_PREFIX

_PROJECT_ID = re.compile(PROJECT_ID_PATTERN[1:-1])


def create(body: CreateProject, ctx: Context) -> Decision[IdData] | Rejected:
    """Create a project. Once a project exists, only administrators can use ids of undefined projects."""
    refusal = _check_id(body.project_id) or _refuse_name(body.name)
    if refusal is not None:
        return refusal
    if body.project_id in ctx.state.projects:
        return conflict("This project already exists", field="id", project_id=body.project_id)
    if len(ctx.state.projects) >= PROJECTS_MAX:
        return conflict("The maximum number of projects has been reached", projects_max=PROJECTS_MAX)
    members = _members(body.members, ctx)
    if isinstance(members, Rejected):
        return members
    return Decision([ProjectSet(body.project_id, body.name, members)], {"id": body.project_id})


def change(body: ChangeProject, ctx: Context) -> Decision[IdData] | Rejected:
    """Change the name of a project, or replace its members."""
    project = _find(body.project_id, ctx)
    if isinstance(project, Rejected):
        return project
    name = project.name if body.name is None else body.name
    refusal = _refuse_name(name)
    if refusal is not None:
        return refusal
    members = list(project.members) if body.members is None else _members(body.members, ctx)
    if isinstance(members, Rejected):
        return members
    same = (name, members) == (project.name, list(project.members))
    return Decision([] if same else [ProjectSet(project.id, name, members)], {"id": project.id})


def remove(body: RemoveProject, ctx: Context) -> Decision[IdData] | Rejected:
    """Remove a project; its tasks and its quota stay."""
    project = _find(body.project_id, ctx)
    if isinstance(project, Rejected):
        return project
    return Decision([ProjectRemoved(project.id)], {"id": project.id})


def add_member(body: AddMember, ctx: Context) -> Decision[IdData] | Rejected:
    """Add a member; adding one again changes nothing."""
    project = _find(body.project_id, ctx)
    if isinstance(project, Rejected):
        return project
    user_id = find_user_id(ctx.state, body.username)
    if user_id is None:
        return not_found("User", body.username)
    if user_id in project.members:
        return Decision([], {"id": project.id})
    if len(project.members) >= MEMBERS_MAX:
        return conflict("The project has reached its maximum number of members", members_max=MEMBERS_MAX)
    return Decision([MemberAdded(project.id, user_id)], {"id": project.id})


def remove_member(body: RemoveMember, ctx: Context) -> Decision[IdData] | Rejected:
    """Remove a member; the tasks that they submitted continue."""
    project = _find(body.project_id, ctx)
    if isinstance(project, Rejected):
        return project
    user_id = find_user_id(ctx.state, body.username)
    if user_id is None or user_id not in project.members:
        return not_found("Member", body.username)
    return Decision([MemberRemoved(project.id, user_id)], {"id": project.id})


def _find(project_id: str, ctx: Context) -> Project | Rejected:
    return ctx.state.projects.get(project_id) or not_found("Project", project_id)


def _members(usernames: tuple[str, ...], ctx: Context) -> list[str] | Rejected:
    """Return the ids of users, each once; refuse an unknown name."""
    if len(usernames) > MEMBERS_MAX:
        return invalid("Too many members", field="members", members_max=MEMBERS_MAX)
    ids: dict[str, None] = {}
    for i, username in enumerate(usernames):
        user_id = find_user_id(ctx.state, username)
        if user_id is None:
            return invalid("Unknown username", field=f"members.{i}")
        ids[user_id] = None
    return list(ids)


def _check_id(project_id: str) -> Rejected | None:
    if project_id.startswith(RESERVED):
        message = f"Project ids that begin with {RESERVED} are reserved for users' own projects"
        return invalid(message, field="id", reserved=RESERVED)
    if len(project_id) <= PROJECT_ID_CHARS_MAX and _PROJECT_ID.fullmatch(project_id) is not None:
        return None
    return invalid(
        "Invalid project id: it must start with a letter or digit and contain only letters, digits and . _ -",
        field="id",
        chars_max=PROJECT_ID_CHARS_MAX,
        pattern=PROJECT_ID_PATTERN,
    )


def _refuse_name(name: str) -> Rejected | None:
    return refuse_display_name("project", name, PROJECT_NAME_CHARS_MAX, may_be_empty=True)


PROJECT_ORDERS: dict[type, Decider] = {
    CreateProject: create,
    ChangeProject: change,
    RemoveProject: remove,
    AddMember: add_member,
    RemoveMember: remove_member,
}
