"""Folds facts about projects and their members."""

from __future__ import annotations

from helix_ray.core import events as ev
from helix_ray.core.evolve.applier import Appliers
from helix_ray.core.state import Project, State


def _project_set(state: State, event: ev.ProjectSet, fact: ev.Fact) -> None:
    known = state.projects.get(event.id)
    created_at = fact.at if known is None else known.created_at
    state.projects[event.id] = Project(event.id, event.name, created_at, dict.fromkeys(event.members))


def _project_removed(state: State, event: ev.ProjectRemoved, fact: ev.Fact) -> None:
    del state.projects[event.id]


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
