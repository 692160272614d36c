"""The client's calls about projects and their members."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING
from urllib.parse import quote

from helix_ray.client.session import ClientSession

if TYPE_CHECKING:
    from helix_ray.wire.projects import ProjectOut


class ProjectCalls:
    """The client's methods for projects; answers are the dicts of docs/api.md."""

    _session: ClientSession

    def projects(self) -> list[ProjectOut]:
        """Return the user's projects; all projects for administrators and viewers."""
        projects: list[ProjectOut] = self._session.call("GET", "/projects")["projects"]
        return projects

    def project(self, project_id: str) -> ProjectOut:
        """Return one project."""
        project: ProjectOut = self._session.call("GET", _path(project_id))
        return project

    def create_project(self, project_id: str, name: str = "", members: Iterable[str] = ()) -> ProjectOut:
        """Create a project with its members, by username (administrators)."""
        body = {"id": project_id, "name": name, "members": [*members]}
        project: ProjectOut = self._session.call("POST", "/projects", body)
        return project

    def change_project(
        self, project_id: str, name: str | None = None, members: Iterable[str] | None = None
    ) -> ProjectOut:
        """Change the name of a project, or replace its members."""
        wanted = {"name": name, "members": None if members is None else [*members]}
        body = {key: value for key, value in wanted.items() if value is not None}
        project: ProjectOut = self._session.call("PUT", _path(project_id), body)
        return project

    def delete_project(self, project_id: str) -> None:
        """Delete a project; its tasks continue."""
        self._session.call("DELETE", _path(project_id))

    def add_member(self, project_id: str, username: str) -> ProjectOut:
        """Add a user to a project."""
        project: ProjectOut = self._session.call("PUT", _path(project_id, username))
        return project

    def remove_member(self, project_id: str, username: str) -> None:
        """Remove a user from a project."""
        self._session.call("DELETE", _path(project_id, username))


def _path(project_id: str, username: str | None = None) -> str:
    path = f"/projects/{quote(project_id, safe='')}"
    return path if username is None else f"{path}/members/{quote(username, safe='')}"
