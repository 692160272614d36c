"""Answers questions about projects."""

from __future__ import annotations

from helix_ray.core import questions as q
from helix_ray.core.access import Principal
from helix_ray.core.answers.picture import Answerers, Picture
from helix_ray.core.errors import Rejected, not_found
from helix_ray.core.views.projects import ProjectsView, ProjectView, project_view
from helix_ray.core.visibility import sees


def _list_projects(picture: Picture, question: q.ListProjects, by: Principal) -> ProjectsView:
    return {
        "projects": [project_view(picture.state, p) for p in picture.state.projects.values() if sees(by, p)]
    }


def _get_project(picture: Picture, question: q.GetProject, by: Principal) -> ProjectView | Rejected:
    project = picture.state.projects.get(question.project_id)
    if project is None or not sees(by, project):
        return not_found("Project", question.project_id)
    return project_view(picture.state, project)


PROJECT_ANSWERS: Answerers = {
    q.ListProjects: _list_projects,
    q.GetProject: _get_project,
}
