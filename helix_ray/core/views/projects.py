"""Projects as questions are answered with them."""

from __future__ import annotations

from typing import TypedDict

from helix_ray.core.state import Project, State


class ProjectView(TypedDict):
    """One project with the names of its members."""

    id: str
    name: str
    members: list[str]
    created_at: float


class ProjectsView(TypedDict):
    """Projects."""

    projects: list[ProjectView]


def project_view(state: State, project: Project) -> ProjectView:
    """Return one project with the names of its members."""
    names = sorted(state.users[user_id].username for user_id in project.members)
    return {"id": project.id, "name": project.name, "members": names, "created_at": project.created_at}
