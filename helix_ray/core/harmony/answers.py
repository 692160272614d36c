"""Questions about the cluster and about where tasks go, answered from one picture of it. One function a question."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from helix_ray.core import questions as q
from helix_ray.core.access import Principal, may
from helix_ray.core.answers import Answer, find_task
from helix_ray.core.errors import Rejected, forbidden, not_found
from helix_ray.core.harmony.cluster import ClusterView, node_view, status_view
from helix_ray.core.harmony.distribution import plan_task
from helix_ray.core.harmony.explanation import explain_view
from helix_ray.core.placement.rules import Shares
from helix_ray.core.visibility import sees_all_tasks


def answer_harmony(cluster: ClusterView, question: q.Question, by: Principal) -> Answer:
    """Answer a question of this table, or refuse it."""
    name = type(question).__name__
    if not may(by, type(question)):
        return forbidden("Your role does not allow this", roles=list(by.roles), action=name)
    return ANSWERERS[type(question)](cluster, question, by)


def _status(cluster: ClusterView, question: q.ClusterStatus, by: Principal) -> Answer:
    return status_view(cluster)


def _nodes(cluster: ClusterView, question: q.ListNodes, by: Principal) -> Answer:
    reserved_for = cluster.reserved_for()
    return {"nodes": [node_view(cluster, worker, reserved_for) for worker in cluster.nodes()]}


def _node(cluster: ClusterView, question: q.GetNode, by: Principal) -> Answer:
    worker = cluster.state.workers.get(question.node_id)
    if worker is None or worker.kind != "node":
        return not_found("Node", question.node_id)
    return node_view(cluster, worker, cluster.reserved_for())


def _explain(cluster: ClusterView, question: q.ExplainTask, by: Principal) -> Answer:
    task = find_task(cluster.state, question.task_id, by)
    return task if isinstance(task, Rejected) else explain_view(cluster, task)


def _plan(cluster: ClusterView, question: q.PlanTask, by: Principal) -> Answer:
    task = find_task(cluster.state, question.task_id, by)
    return task if isinstance(task, Rejected) else plan_task(cluster, question, task)


def _quotas(cluster: ClusterView, question: q.ListQuotas, by: Principal) -> Answer:
    """Everybody's projects for those who see all tasks; else the ones that the asker belongs to or has tasks in."""
    state = cluster.state
    fleet = cluster.fleet()
    shares = Shares(fleet.slots, fleet.totals, state.quotas)
    projects = {*state.quotas, *state.unfinished}
    if not sees_all_tasks(by):
        joined = {project.id for project in state.projects.values() if by.id in project.members}
        used = {task.task_class.project for task in state.tasks.values() if task.owner == by.id}
        projects &= joined | used | {by.id}
    return {"quotas": [_quota_view(cluster, project, shares) for project in sorted(projects)]}


def _quota_view(cluster: ClusterView, project: str, shares: Shares) -> dict[str, Any]:
    quota = cluster.state.quotas.get(project)
    return {
        "project_id": project,
        "limits": dict(quota.limits) if quota is not None else {},
        "weight": quota.weight if quota is not None else 1.0,
        "used": shares.used(project),
        "queued": cluster.state.unfinished.get(project, 0),
        "share": shares.dominant(project),
    }


ANSWERERS: dict[type, Callable[[ClusterView, Any, Principal], Answer]] = {
    q.ClusterStatus: _status,
    q.ListNodes: _nodes,
    q.GetNode: _node,
    q.ExplainTask: _explain,
    q.PlanTask: _plan,
    q.ListQuotas: _quotas,
}
