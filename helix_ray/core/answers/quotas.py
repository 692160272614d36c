"""Answers questions about quotas."""

from __future__ import annotations

from helix_ray.core import questions as q
from helix_ray.core.access import Principal
from helix_ray.core.answers.picture import Answerers, Picture
from helix_ray.core.placement.rules import Shares
from helix_ray.core.stored import MB, STORED_MB, stored_bytes, stored_files
from helix_ray.core.views.quotas import QuotasView, QuotaView
from helix_ray.core.visibility import sees_all_tasks


def _quotas(picture: Picture, question: q.ListQuotas, by: Principal) -> QuotasView:
    """All projects for callers who see all tasks; for others those of which they are members or
    in which they have tasks."""
    state = picture.state
    fleet = picture.fleet()
    shares = Shares(fleet.slots, fleet.totals, state.quotas)
    stored = stored_bytes(stored_files(state))
    projects = {*state.quotas, *state.unfinished, *stored}
    if not sees_all_tasks(by):
        joined = {project.id for project in state.projects.values() if by.id in project.members}
        used = {task.task_class.project for task in state.tasks.values() if task.owner == by.id}
        projects &= joined | used | {by.id}
    views = (_quota_view(picture, each, shares, stored.get(each, 0)) for each in sorted(projects))
    return {"quotas": list(views)}


def _quota_view(picture: Picture, project: str, shares: Shares, stored: int) -> QuotaView:
    files = {STORED_MB: round(stored / MB, 3)} if stored else {}
    quota = picture.state.quotas.get(project)
    return {
        "project_id": project,
        "limits": dict(quota.limits) if quota is not None else {},
        "weight": quota.weight if quota is not None else 1.0,
        "used": {**shares.used(project), **files},
        "queued": picture.state.unfinished.get(project, 0),
        "share": shares.dominant(project),
    }


QUOTA_ANSWERS: Answerers = {
    q.ListQuotas: _quotas,
}
