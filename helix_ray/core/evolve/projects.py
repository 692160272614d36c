"""Folds facts about projects and their members."""

from __future__ import annotations

from helix_ray.core import events as ev
from helix_ray.core.evolve.applier import Appliers
from helix_ray.core.state import Project, State


def _project_set(state: State, event: ev.ProjectSet, fact: ev.Fact) -> None:
    known = state.projects.get(event.id)
    created_at = fact.at if known is None else known.created_at
    state.projects[event.id] = Project(event.id, event.name, created_at, dict.fromkeys(event.members))
    state.closed_projects.pop(event.id, None)


def _project_removed(state: State, event: ev.ProjectRemoved, fact: ev.Fact) -> None:
    del state.projects[event.id]
    if _has_things(state, event.id):
        state.closed_projects[event.id] = None


def _has_things(state: State, project_id: str) -> bool:
    """Say whether models or data sets belong to a project."""
    if any(model.project == project_id and not model.deleted for model in state.models.values()):
        return True
    return any(each.project == project_id for uploads in state.datasets.values() for each in uploads)


def _member_added(state: State, event: ev.MemberAdded, fact: ev.Fact) -> None:
    state.projects[event.id].members[event.user_id] = None


def _member_removed(state: State, event: ev.MemberRemoved, fact: ev.Fact) -> None:
    del state.projects[event.id].members[event.user_id]


PROJECT_FACTS: Appliers = {
    ev.ProjectSet: _project_set,
    ev.ProjectRemoved: _project_removed,
    ev.MemberAdded: _member_added,
    ev.MemberRemoved: _member_removed,
}
